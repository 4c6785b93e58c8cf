// Write a sample's cells in the formats that other tools open.
process EXPORT {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/export:0.1.0'

    input:
    tuple val(meta), path(table, stageAs: '_inputs/*'), path(masks, stageAs: '_masks/*')

    output:
    tuple val(meta), path("${meta.id}/{quantification/*.csv,markers.csv,qc/params.yml}"), emit: csv, optional: true
    tuple val(meta), path("${meta.id}/anndata/*.h5ad"), emit: h5ad, optional: true
    tuple val(meta), path("${meta.id}/geojson/*.geojson.gz"), emit: geojson, optional: true
    tuple val(meta), path("${meta.id}/zarr/*.sdata.zarr"), emit: spatialdata, optional: true
    tuple val(meta), path("${meta.id}/zarr/*.ome.zarr"), emit: ome_zarr, optional: true
    tuple val(meta), path("${meta.id}/hubmap/*.ome.tiff"), emit: hubmap, optional: true
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    """
    export.py --table ${table} --masks _masks/* --outdir ${meta.id} ${args}
    """

    stub:
    def segmenter = meta.segmenter ? "--segmenter ${meta.segmenter}" : ''
    """
    stub.py export --sample ${meta.id} ${segmenter} --outdir ${meta.id}
    """
}
