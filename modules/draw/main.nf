// Draw the masks over the slide and summarise the sample.
process DRAW {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(store, stageAs: '_inputs/*'), path(table, stageAs: '_inputs/*'), path(patches, stageAs: '_inputs/*'), path(provenance, stageAs: '_inputs/*'), path(counts, stageAs: '_counts/*'), path(masks, stageAs: '_masks/*'), path(truth, stageAs: '_truth/*')

    output:
    tuple val(meta), path("${meta.id}/overlay.png"), emit: overlay, topic: published, optional: true
    tuple val(meta), path("${meta.id}/summary.json"), emit: summary, topic: published, optional: true
    tuple val(meta), path("${meta.id}/report.html"), emit: page, topic: published, optional: true
    tuple val(meta), path("${meta.id}/report.json"), emit: report, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    """
    draw.py --store ${store} --sample ${meta.id} --table ${table} --patches ${patches} --provenance ${provenance} --counts _counts/* --masks _masks/* --truth ${truth} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py draw --sample ${meta.id} ${segmenter} --outdir ${meta.id}
    """
}
