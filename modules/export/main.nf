// Write a sample's cells in the formats that other tools open.
process EXPORT {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/export:0.1.0'

    input:
    tuple val(meta), path(table, stageAs: '_inputs/*'), path(masks, stageAs: '_masks/*')

    output:
    tuple val(meta), path("${meta.id}/{quantification/*.csv,markers.csv,qc/params.yml}"), emit: csv, topic: published, optional: true
    tuple val(meta), path("${meta.id}/anndata/*.h5ad"), emit: h5ad, topic: published, optional: true
    tuple val(meta), path("${meta.id}/geojson/*.geojson.gz"), emit: geojson, topic: published, optional: true
    tuple val(meta), path("${meta.id}/zarr/*.sdata.zarr"), emit: spatialdata, topic: published, optional: true
    tuple val(meta), path("${meta.id}/zarr/*.ome.zarr"), emit: ome_zarr, topic: published, optional: true
    tuple val(meta), path("${meta.id}/hubmap/*.ome.tiff"), emit: hubmap, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    """
    export.py --table ${table} --masks _masks/* --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py export --sample ${meta.id} ${segmenter} --outdir ${meta.id}
    """
}
