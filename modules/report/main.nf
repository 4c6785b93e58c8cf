// Write the report of a run: an HTML page, a table of the samples, a text for a paper, and tables for MultiQC.
process REPORT {
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    path samples, stageAs: 'samples/?/*'
    path usage
    path evaluations, stageAs: 'evaluations/?/*'
    path refusals
    path run
    path benchmark, stageAs: '_benchmark/*'

    output:
    path 'report.html', emit: page, topic: published_of_run
    path 'samples.csv', emit: table, topic: published_of_run
    path 'methods.txt', emit: methods, topic: published_of_run
    path 'multiqc/*_mqc.json', emit: multiqc, topic: published_of_run
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    def times = usage ? "--usage ${usage}" : ''
    def scores = evaluations ? '--evaluations evaluations/*/*' : ''
    def slides = samples ? '--samples samples/*/*' : ''
    def refused = refusals ? "--refusals ${refusals}" : ''
    def about = run ? "--run ${run}" : ''
    def measured = benchmark ? "--benchmark ${benchmark}" : ''
    """
    report.py ${slides} ${times} ${scores} ${refused} ${about} ${measured} --outdir . ${args}
    """

    stub:
    """
    stub.py report --outdir .
    """
}
