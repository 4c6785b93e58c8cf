// Put the results of several segmenters of a slide side by side.
process CONTRAST {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(store, stageAs: '_inputs/*'), path(reports, stageAs: '_reports/?/*'), val(n_masks), path(masks, stageAs: '_masks/?/*')

    output:
    tuple val(meta), path("${meta.id}/comparison.html"), emit: page, topic: published, optional: true
    tuple val(meta), path("${meta.id}/agreement.csv"), emit: table, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def names = masks.iterator()
    def results = [reports, n_masks].transpose().collect { report, n -> "--result ${([report] + names.take(n).toList()).join(' ')}" }.join(' ')
    """
    contrast.py --store ${store} ${results} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    """
    stub.py contrast --outdir ${meta.id}
    """
}
