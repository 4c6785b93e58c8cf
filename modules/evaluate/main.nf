// Score the segmentation of a part of the slide with CellSegmentationEvaluator.
process EVALUATE {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/evaluate:0.1.0'

    input:
    tuple val(meta), path(image, stageAs: '_slide/*'), path(facts, stageAs: '_inputs/*'), path(matches, stageAs: '_inputs/*'), path(metrics, stageAs: '_inputs/*'), path(masks, stageAs: '_masks/*')

    output:
    tuple val(meta), path("${meta.id}/evaluation.json"), emit: evaluation, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    """
    evaluate.py --image ${image} --facts ${facts} --sample ${meta.id} --cell _masks/cell_original.ome.tif --nucleus _masks/nucleus_original.ome.tif --matches ${matches} --metrics ${metrics} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    """
    stub.py evaluate --sample ${meta.id} --outdir ${meta.id}
    """
}
