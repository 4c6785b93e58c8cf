// Train a network on labelled slides, and score it on held-out parts.
process TRAIN {
    tag "${meta.id}"
    label 'process_low'
    label 'process_gpu'
    container "cellquilt/runtime:0.1.0${task.accelerator ? '-gpu' : ''}"

    input:
    tuple val(meta), path(stores, stageAs: 'slide*/*'), path(labels, stageAs: 'labels*/*'), path(start, stageAs: '_start/*')
    path architectures, stageAs: '_architectures/*'

    output:
    tuple val(meta), path("networks/${meta.id}.keras"), emit: model, topic: published_of_run
    tuple val(meta), path("networks/${meta.id}.json"), emit: card, topic: published_of_run
    tuple val(meta), path("networks/${meta.id}.curve.csv"), emit: curve, topic: published_of_run
    tuple val(meta), path("networks/${meta.id}.probabilities.zip"), emit: probabilities
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'gpu' : 'cpu'
    def further = start ? "--start ${start}" : ''
    def file = architectures ? "--architecture_file ${architectures}" : ''
    """
    train.py --name ${meta.id} --stores ${stores} --labels ${labels} --splits ${meta.splits.join(' ')} --compartment ${meta.compartment} --architecture ${meta.architecture} ${file} ${further} --seed ${meta.seed} --device ${device} --cpus ${task.cpus} --outdir networks ${args}
    """

    stub:
    """
    stub.py train --name ${meta.id} --outdir networks
    """
}
