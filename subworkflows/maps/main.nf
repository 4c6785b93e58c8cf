// Pixels of tasks in, maps of cells and nuclei out, by the segmenter that meta.segmenter names.
// A segmenter that is added gets a branch here, and a module in bin/cellquilt/segmenters.

include { SEGMENT             } from '../../modules/segment/main'
include { SEGMENT as CLASSIFY } from '../../modules/segment/main'

workflow MAPS {
    take:
    ch_pixels // [meta, pixels] of each task
    networks // what each segmenter runs, by its name: [mesmer: SavedModel of MODEL, pixelcnn: networks of TRAIN]

    main:
    ch_tasks = ch_pixels.branch { meta, _pixels ->
        mesmer: segmenterOf(meta) == 'mesmer'
        pixelcnn: segmenterOf(meta) == 'pixelcnn'
    }
    SEGMENT(ch_tasks.mesmer, networks.mesmer ?: [])
    CLASSIFY(ch_tasks.pixelcnn, networks.pixelcnn ?: [])
    maps = SEGMENT.out.maps.mix(CLASSIFY.out.maps)

    emit:
    maps
}

def segmenterOf(meta) {
    return meta.segmenter ?: 'mesmer'
}

// Returns why a slide cannot be segmented by its segmenter, or null
def segmenterProblem(meta, networks) {
    def inputs = [mesmer: 'model, by MODEL', pixelcnn: 'networks, by TRAIN']
    def name = segmenterOf(meta)
    if (!(name in inputs)) {
        return "meta.segmenter is '${name}'; give ${inputs.keySet().collect { known -> "'${known}'" }.join(' or ')}, or leave it out for 'mesmer'."
    }
    def given = networks[name]
    return given == null || given instanceof List && !given ? "no network is given for it; pass the ${inputs[name]}, beside the slides." : null
}
