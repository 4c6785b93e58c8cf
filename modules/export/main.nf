// Write the cells of a sample, or of several, in the formats that other tools open.
process EXPORT {
    tag "${[meta].flatten().first().id}${meta instanceof List && meta.size() > 1 ? " and ${meta.size() - 1} more" : ''}"
    label 'process_low'
    container 'cellquilt/export:0.1.0'

    input:
    tuple val(meta), path(tables, stageAs: '_inputs/*'), path(masks, stageAs: '_masks/*'), path(image, stageAs: '_slide/*'), path(places, stageAs: '_places/*')

    output:
    tuple val(meta), path('[A-Za-z0-9]*/{quantification/*.csv,markers.csv,qc/params.yml}'), emit: csv, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/anndata/*.h5ad'), emit: h5ad, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/geojson/*.geojson.gz'), emit: geojson, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/zarr/*.sdata.zarr'), emit: spatialdata, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/zarr/*.ome.zarr'), emit: ome_zarr, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/{zarr/*.cells.zarr,vitessce.json}'), emit: vitessce, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/hubmap/*.ome.tiff'), emit: hubmap, topic: published, optional: true
    tuple val(meta), path('[A-Za-z0-9]*/viewer'), emit: viewer, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('_refused/*/*.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusals = task.ext.keep_refusal ? '--refusals _refused' : ''
    def slide = image ? "--image ${image}" : ''
    def shown = places ? '--patches _places/patches_metadata.csv --facts _places/sample.json' : ''
    """
    export.py --tables ${tables} --masks _masks/* --cpus ${task.cpus} ${slide} ${shown} ${refusals} ${args}
    """

    stub:
    def args = task.ext.args ?: ''
    def segmenter = [meta].flatten().first().segmenter ? "--segmenter ${[meta].flatten().first().segmenter}" : ''
    """
    stub.py export --samples ${[meta].flatten()*.id.join(' ')} ${segmenter} ${args}
    """
}
