// Stitch the cells of all patches into whole-slide label images.
process STITCH {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(facts, stageAs: '_inputs/*'), path(patches, stageAs: '_inputs/*'), path(labels, stageAs: '_labels/*')

    output:
    tuple val(meta), path("${meta.id}/segmentation/${meta.segmenter ?: 'mesmer'}-${meta.id}/*.ome.tif"), emit: masks, topic: published, optional: true
    tuple val(meta), path("${meta.id}/patches_metadata.csv"), emit: patches, topic: published, optional: true
    tuple val(meta), path("${meta.id}/{uncertified,regions}.csv"), emit: uncertified, topic: published, optional: true
    tuple val(meta), path("${meta.id}/stitch.json"), emit: summary, topic: published, optional: true
    tuple val(meta), path("${meta.id}/provenance.json"), emit: provenance, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stitch.py --facts ${facts} --sample ${meta.id} --patches ${patches} --labels ${labels} --compartment ${meta.compartment} ${segmenter} --cpus ${task.cpus} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py stitch --sample ${meta.id} --compartment ${meta.compartment} ${segmenter} --outdir ${meta.id}
    """
}
