// Generate the demo's tissue: a multiplexed image with known truth.
process GENERATE {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    val meta

    output:
    tuple val(meta), path("${meta.id}/tissue.ome.tif"), emit: image, topic: published
    tuple val(meta), path("${meta.id}/{cell,nucleus}_truth.ome.tif"), emit: truth, topic: published
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def side = meta.side ? "--height ${meta.side} --width ${meta.side} --empty_width 0" : ''
    """
    generate.py --outdir ${meta.id} ${args} ${side}
    """

    stub:
    """
    stub.py generate --outdir ${meta.id}
    """
}
