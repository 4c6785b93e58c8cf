// Match each cell to its nucleus, trim, and derive cytoplasm, boundaries and metrics.
process REPAIR {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(facts, stageAs: '_inputs/*'), path(masks, stageAs: '_masks/*'), path(uncertified, stageAs: '_inputs/*')

    output:
    tuple val(meta), path("${meta.id}/segmentation/${meta.segmenter ?: 'mesmer'}-${meta.id}/*.ome.tif"), emit: masks, topic: published, optional: true
    tuple val(meta), path("${meta.id}/matches.csv"), emit: matches, topic: published, optional: true
    tuple val(meta), path("${meta.id}/repair_metrics.json"), emit: metrics, topic: published, optional: true
    tuple val(meta), path("${meta.id}/*.pickle"), emit: pickles, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    def tables = [uncertified].flatten().findAll { path -> path }.collect { path -> "--${path.toString().tokenize('/').last() - '.csv'} ${path}" }.join(' ')
    """
    repair.py --cell _masks/cell_original.ome.tif --nucleus _masks/nucleus_original.ome.tif --facts ${facts} --sample ${meta.id} ${tables} ${segmenter} --cpus ${task.cpus} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py repair --sample ${meta.id} ${segmenter} --outdir ${meta.id}
    """
}
