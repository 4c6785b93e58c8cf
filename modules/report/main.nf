// Draw the masks over the slide and sum up the sample.
process REPORT {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(store), path(counts, stageAs: 'counts/*'), path(masks, stageAs: 'masks/*'), path(truth, stageAs: 'truth/*')

    output:
    tuple val(meta), path("${meta.id}/overlay.png"), emit: overlay
    tuple val(meta), path("${meta.id}/summary.json"), emit: summary
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    """
    report.py --store ${store} --counts counts/* --masks masks/* --truth ${truth} --outdir ${meta.id} ${args}
    """

    stub:
    """
    stub.py report --sample ${meta.id} --outdir ${meta.id}
    """
}
