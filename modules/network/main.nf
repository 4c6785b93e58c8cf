// Check a user's network against its card, by running it once on processors, and pack both as one file: before
// any tile of a slide, and any GPU, is used for it.
process NETWORK {
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    path network, stageAs: '_network/*'

    output:
    path 'network.zip', emit: network
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    """
    network.py --network ${network} --packed network.zip ${args}
    """

    stub:
    """
    stub.py network --packed network.zip
    """
}
