def quote(text) {
    return "'" + text.toString().replace("'", "'\\''") + "'"
}

// Validate a slide and normalise what segmentation needs of it.
process INGEST {
    tag "${meta.id}"
    label 'process_low'
    container 'cellquilt/runtime:0.1.0'

    input:
    tuple val(meta), path(image, stageAs: '_slide/*'), path(markers, stageAs: '_markers/*')

    output:
    tuple val(meta), path("${meta.id}/normalised.zip"), emit: store, optional: true
    tuple val(meta), path("${meta.id}/sample.json"), emit: facts, topic: published, optional: true
    tuple val(meta), val("${task.process}"), path('refusal.txt'), optional: true, topic: refused
    tuple val("${task.process}"), val('cellquilt'), eval('versions.py'), emit: versions, topic: versions
    tuple val("${task.process}"), val(meta.id), path('.command.trace'), optional: true, topic: usage

    script:
    def args = task.ext.args ?: ''
    def refusal = task.ext.keep_refusal ? '--refusal refusal.txt' : ''
    def membrane = meta.membrane?.toString() ? "--membrane ${quote(meta.membrane)}" : ''
    def image_mpp = meta.image_mpp ? "--image_mpp ${meta.image_mpp}" : ''
    def plane = ['z', 't', 'scene'].findAll { key -> !(meta[key] in [null, '']) }.collect { key -> "--${key} ${quote(meta[key])}" }.join(' ')
    def names = markers ? "--markers ${markers}" : ''
    """
    ingest.py --sample ${meta.id} --image ${image} --nuclear ${quote(meta.nuclear)} ${membrane} ${image_mpp} ${plane} ${names} --outdir ${meta.id} ${refusal} ${args}
    """

    stub:
    """
    stub.py ingest --sample ${meta.id} --outdir ${meta.id}
    """
}
