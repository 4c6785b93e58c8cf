// Summarise the batching study: a table, plots, and the fastest choice that fits the memory.
process RECOMMEND {
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    path rows

    output:
    path 'benchmark.csv', emit: table, topic: published_of_run
    path '{throughput,peak_memory}.png', emit: plots, topic: published_of_run
    path 'recommendation.json', emit: recommendation, topic: published_of_run
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    """
    recommend.py --rows ${rows} --outdir . ${args}
    """

    stub:
    """
    stub.py recommend --outdir .
    """
}
