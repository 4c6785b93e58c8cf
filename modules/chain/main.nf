// Do all steps of small slides, one slide after the other, with the network loaded once.
process CHAIN {
    tag "${metas.first().id}${metas.size() > 1 ? " and ${metas.size() - 1} more" : ''}"
    label 'process_medium'
    label 'process_gpu'
    container "cellquilt/runtime:0.1.0${task.accelerator ? '-gpu' : ''}"

    input:
    tuple val(metas), val(columns), val(n_files), path(files, stageAs: '_slides/?/*'), val(segmenters), path(networks, stageAs: '_networks/*')

    output:
    tuple val(metas), path('[A-Za-z0-9]*/**'), emit: files, topic: published, optional: true
    tuple val(metas), path('_reports/*/report.json'), emit: reports, optional: true
    tuple val(metas), path('_left.txt'), emit: left
    tuple val(metas), val("${task.process}"), path('_refused/*/*.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(metas), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusals = task.ext.keep_refusal ? '--refusals _refused' : ''
    def device = task.accelerator ? 'gpu' : 'cpu'
    def models = networks ? "--networks ${[segmenters, [networks].flatten()].transpose().collect { segmenter, path -> "${segmenter}=${path}" }.join(' ')}" : ''
    // huge pages, where the kernel grants them on request: 5 % less time
    """
    export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
    chain.py ${models} --device ${device} --cpus ${task.cpus} --left _left.txt ${refusals} ${args} <<'SLIDES'
    ${slidesText(metas, columns, n_files, files)}
    SLIDES
    """

    stub:
    """
    stub.py chain --left _left.txt <<'SLIDES'
    ${slidesText(metas, columns, n_files, files)}
    SLIDES
    """
}

// What a slide has in the end: the results of one segmenter, or those of each of several, as their meta
def resultsOf(meta) {
    return meta.results ?: [meta]
}

// The slides as JSON, on one line: what chain.py reads, an object for each of their results
def slidesText(metas, columns, n_files, files) {
    def names = (files instanceof List ? files*.toString() : [files.toString()]).iterator()
    def slides = [metas, columns, n_files].transpose().collectMany { meta, own, counts ->
        def staged = counts.collectEntries { kind, n -> [kind, names.take(n).toList()] }
        def common = [columns: own] + staged + ['markers', 'roi', 'cell_mask', 'nucleus_mask'].collectEntries { kind -> [kind, staged[kind] ? staged[kind][0] : null] }
        resultsOf(meta).collect { result ->
            result.subMap(['slide', 'segmenter', 'tile', 'stride', 'nuclear', 'membrane', 'image_mpp', 'compartment', 'segmented', 'z', 't', 'scene']) + [sample: result.id] + common
        }
    }
    return groovy.json.JsonOutput.toJson(slides)
}

// The files of a slide by kind
def filesOf(slide) {
    return ([images: slide[1], truth: slide[2].truth] + slide[2].subMap(['markers', 'roi', 'cell_mask', 'nucleus_mask'])).collectEntries { kind, files -> [kind, [files].flatten().findAll { path -> path != null }] }
}

def countsOf(files) {
    return files.collectEntries { kind, paths -> [kind, paths.size()] }
}
