// Pixels of tasks in, maps of cells and nuclei out, or already labels, by the segmenter that meta.segmenter names.
// A segmenter that is added gets a branch here, and a module in bin/cellquilt/segmenters.

include { SEGMENT             } from '../../modules/segment/main'
include { SEGMENT as DETECT   } from '../../modules/segment/main'
include { SEGMENT as CLASSIFY } from '../../modules/segment/main'
include { SEGMENT as INFER   } from '../../modules/segment/main'

workflow MAPS {
    take:
    ch_pixels // [meta, pixels] of each task
    networks // what each segmenter runs, by its name: [mesmer: SavedModel of MODEL, nuclei: its network, pixelcnn: networks of TRAIN, network: that of NETWORK]

    main:
    ch_tasks = ch_pixels.branch { meta, _pixels ->
        mesmer: meta.segmenter in [null, 'mesmer']
        nuclei: meta.segmenter == 'nuclei'
        pixelcnn: meta.segmenter == 'pixelcnn'
        network: meta.segmenter == 'network'
        unknown: true
    }
    ch_tasks.unknown.subscribe { meta, _pixels ->
        error("MAPS, ${meta.id}: meta.segmenter is '${meta.segmenter}'; give 'mesmer', 'nuclei', 'pixelcnn' or 'network', or leave it out for 'mesmer'.")
    }
    SEGMENT(ch_tasks.mesmer, networks.mesmer ?: [])
    DETECT(ch_tasks.nuclei, networks.nuclei ?: [])
    CLASSIFY(ch_tasks.pixelcnn, networks.pixelcnn ?: [])
    INFER(ch_tasks.network, networks.network ?: [])
    maps = SEGMENT.out.maps.mix(DETECT.out.maps, CLASSIFY.out.maps, INFER.out.maps)
    labels = SEGMENT.out.labels.mix(DETECT.out.labels, CLASSIFY.out.labels, INFER.out.labels)

    emit:
    maps = maps
    labels = labels
}
