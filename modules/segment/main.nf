// Run a segmenter's network over the tiles of a task: the labels of its patches, or maps of cells and nuclei.
process SEGMENT {
    tag "${meta.id}:${pixels.simpleName}"
    label 'process_medium'
    label 'process_gpu'
    container "cellquilt/runtime:0.1.0${task.accelerator ? '-gpu' : ''}"

    input:
    tuple val(meta), path(pixels)
    path networks, stageAs: 'networks/*'

    output:
    tuple val(meta), path("${pixels.simpleName}.maps.zip"), emit: maps, optional: true
    tuple val(meta), path("${pixels.simpleName}.labels.zip"), emit: labels, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def device = task.accelerator ? 'gpu' : 'cpu'
    def made = task.ext.keep_maps == false ? 'labels' : 'maps'
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    def compartment = meta.segmented ?: meta.compartment
    // huge pages, where the kernel grants them on request: 5 % less time
    """
    export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
    segment.py --pixels ${pixels} --networks ${networks} --compartment ${compartment} ${segmenter} --device ${device} --cpus ${task.cpus} --${made} ${pixels.simpleName}.${made}.zip ${refusal} ${args}
    """

    stub:
    def made = task.ext.keep_maps == false ? 'labels' : 'maps'
    """
    stub.py ${made == 'labels' ? 'label' : 'segment'} --${made} ${pixels.simpleName}.${made}.zip
    """
}
