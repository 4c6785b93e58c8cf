// Label the cells and nuclei of a task's patches in its maps.
process LABEL {
    tag "${meta.id}:${maps.simpleName}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(maps)

    output:
    tuple val(meta), path("${maps.simpleName}.labels.zip"), emit: labels
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def compartment = meta.segmented ?: meta.compartment
    """
    label.py --maps ${maps} --compartment ${compartment} --labels ${maps.simpleName}.labels.zip ${args}
    """

    stub:
    """
    stub.py label --labels ${maps.simpleName}.labels.zip
    """
}
