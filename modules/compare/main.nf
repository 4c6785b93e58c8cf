// Compare the networks of a compartment, singly and as ensembles, recommend some, and make a page of it.
process COMPARE {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(cards, stageAs: '_inputs/*'), path(curves, stageAs: '_inputs/*'), path(probabilities, stageAs: '_inputs/*')

    output:
    tuple val(meta), path("${meta.id}/comparison.csv"), emit: table, topic: published_of_run
    tuple val(meta), path("${meta.id}/networks.csv"), emit: networks, topic: published_of_run
    tuple val(meta), path("${meta.id}/ensembles.csv"), emit: ensembles, topic: published_of_run
    tuple val(meta), path("${meta.id}/{learning_curves,probabilities,cell_sizes}.png"), emit: plots, topic: published_of_run
    tuple val(meta), path("${meta.id}/comparison.json"), emit: comparison, topic: published_of_run
    tuple val(meta), path("${meta.id}/report.html"), emit: page, topic: published_of_run
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    """
    compare.py --cards ${cards} --curves ${curves} --probabilities ${probabilities} --outdir ${meta.id} ${args}
    """

    stub:
    """
    stub.py compare --outdir ${meta.id}
    """
}
