// Cut a slide into patches, assess each, and write the pixels of every task.
process PATCH {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(store)

    output:
    tuple val(meta), path('task-*.pixels.zip'), emit: pixels, optional: true
    tuple val(meta), path('patches.csv'), emit: table
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def patch_size = meta.patch_size ? "--patch_size ${meta.patch_size}" : ''
    def patches_per_task = meta.patches_per_task ? "--patches_per_task ${meta.patches_per_task}" : ''
    def tiles = meta.tile ? "--tile ${meta.tile} --stride ${meta.stride}" : ''
    def table_only = meta.table_only ? '--table_only' : ''
    """
    patch.py --store ${store} --table patches.csv ${args} ${patch_size} ${patches_per_task} ${[tiles, table_only].findAll { option -> option }.join(' ')}
    """

    stub:
    """
    stub.py patch --table patches.csv
    """
}
