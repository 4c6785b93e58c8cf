// Take masks of one's own in place of what a network would give.
process ADOPT {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(facts, stageAs: '_inputs/*'), path(patches, stageAs: '_inputs/*'), path(cell_mask, stageAs: '_cell/*'), path(nucleus_mask, stageAs: '_nucleus/*')

    output:
    tuple val(meta), path("${meta.id}/segmentation/masks-${meta.id}/*.ome.tif"), emit: masks, topic: published, optional: true
    tuple val(meta), path("${meta.id}/patches_metadata.csv"), emit: patches, topic: published, optional: true
    tuple val(meta), path("${meta.id}/stitch.json"), emit: summary, topic: published, optional: true
    tuple val(meta), path("${meta.id}/{provenance.json,regions.csv}"), emit: provenance, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def cell = cell_mask ? "--cell_mask ${cell_mask}" : ''
    def nucleus = nucleus_mask ? "--nucleus_mask ${nucleus_mask}" : ''
    """
    adopt.py --facts ${facts} --patches ${patches} ${cell} ${nucleus} --cpus ${task.cpus} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    """
    stub.py adopt --sample ${meta.id} --compartment ${meta.compartment} --segmenter masks --outdir ${meta.id}
    """
}
