// Measure time and memory of the network on the tasks of a slide, at one batch size and number of tasks
// at the same time. One measurement at a time: others would slow it down.
process MEASURE {
    tag "${meta.id}:${meta.patch_size}x${meta.patches_per_task}:${meta.batch_size}x${meta.tasks}"
    label 'process_medium'
    label 'process_gpu'
    maxForks 1
    container "cellquilt/runtime:0.1.0${task.accelerator ? '-gpu' : ''}"

    input:
    tuple val(meta), path(pixels)
    path model

    output:
    tuple val(meta), path('*.row.csv'), emit: row
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions

    script:
    def args = task.ext.args ?: ''
    def device = task.accelerator ? 'gpu' : 'cpu'
    def sizes = ['patch_size', 'patches_per_task', 'batch_size', 'tasks'].collect { name -> "--${name} ${meta[name]}" }.join(' ')
    def row = "${meta.id}-${meta.patch_size}-${meta.patches_per_task}-${meta.batch_size}-${meta.tasks}.row.csv"
    """
    measure.py --image ${meta.id} ${sizes} --pixels ${pixels} --model ${model} --device ${device} --cpus ${task.cpus} --row ${row} ${args}
    """

    stub:
    def row = "${meta.id}-${meta.patch_size}-${meta.patches_per_task}-${meta.batch_size}-${meta.tasks}.row.csv"
    """
    stub.py measure --row ${row}
    """
}
