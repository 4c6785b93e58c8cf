// Draw the masks over the slide and summarise the sample.
process DRAW {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(store), path(table), path(patches), path(provenance), path(counts, stageAs: 'counts/*'), path(masks, stageAs: 'masks/*'), path(truth, stageAs: 'truth/*')

    output:
    tuple val(meta), path("${meta.id}/overlay.png"), emit: overlay, optional: true
    tuple val(meta), path("${meta.id}/summary.json"), emit: summary, optional: true
    tuple val(meta), path("${meta.id}/report.json"), emit: report, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    """
    draw.py --store ${store} --table ${table} --patches ${patches} --provenance ${provenance} --counts counts/* --masks masks/* --truth ${truth} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py draw --sample ${meta.id} ${segmenter} --outdir ${meta.id}
    """
}
