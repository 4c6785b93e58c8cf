// Look at the headers of slides: what is understood of each, what is wrong with it, and what they will cost.

include { slidesText } from '../chain/main'

process CHECK {
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(metas), val(n_files), val(others), path(files, stageAs: '_slides/?/*')
    path benchmark, stageAs: '_benchmark/*'

    output:
    path 'check.csv', emit: table, topic: published_of_run
    path 'check.txt', emit: text
    path 'refusal.txt', emit: refusal, optional: true
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    def measured = benchmark ? "--benchmark ${benchmark}" : ''
    """
    check.py ${measured} --outdir . ${args} <<'SLIDES'
    ${groovy.json.JsonOutput.toJson(others)}
    ${slidesText(metas, metas.collect { _meta -> [:] }, n_files, files)}
    SLIDES
    """

    stub:
    """
    stub.py check --outdir .
    """
}
