// Measure every cell and nucleus over all channels of the slide.
process QUANTIFY {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(image, stageAs: '_slide/*'), path(facts, stageAs: '_inputs/*'), path(provenance, stageAs: '_inputs/*'), path(uncertified, stageAs: '_inputs/*'), path(patches, stageAs: '_inputs/*'), path(matches, stageAs: '_inputs/*'), path(masks, stageAs: '_masks/*'), val(columns)

    output:
    tuple val(meta), path("${meta.id}/quantification/${meta.id}.parquet"), emit: table, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    def own = columns ? "--columns '${groovy.json.JsonOutput.toJson(columns).replace("'", '\\u0027')}'" : ''
    def tables = [uncertified].flatten().collect { path -> "--${path.toString().tokenize('/').last() - '.csv'} ${path}" }.join(' ')
    def states = patches ? "--patches ${patches}" : ''
    def pairs = matches ? "--matches ${matches}" : ''
    """
    quantify.py --image ${image} --facts ${facts} --sample ${meta.id} --provenance ${provenance} ${tables} ${states} --masks _masks/* ${pairs} ${segmenter} ${own} --cpus ${task.cpus} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py quantify --sample ${meta.id} --compartment ${meta.compartment} ${segmenter} --outdir ${meta.id}
    """
}
