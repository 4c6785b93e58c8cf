// Run pixel classifiers over the tiles of a task: class probabilities, in the place of SEGMENT's maps.
process CLASSIFY {
    tag "${meta.id}:${pixels.simpleName}"
    label 'process_medium'
    label 'process_gpu'
    container "cellquilt/runtime:0.1.0${task.accelerator ? '-gpu' : ''}"

    input:
    tuple val(meta), path(pixels)
    path models, stageAs: 'models/*'

    output:
    tuple val(meta), path("${pixels.simpleName}.maps.zip"), emit: maps
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'gpu' : 'cpu'
    """
    classify.py --pixels ${pixels} --models ${models} --compartment ${meta.compartment} --device ${device} --cpus ${task.cpus} --maps ${pixels.simpleName}.maps.zip ${args}
    """

    stub:
    """
    stub.py classify --maps ${pixels.simpleName}.maps.zip
    """
}
