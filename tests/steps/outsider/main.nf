// Another pipeline, with its own names, parameters and configuration. Cellquilt's modules and
// subworkflows are in cellquilt/, and its scripts in bin/; see docs/reuse.md.

include { MASKS as SEGMENT_SLIDES } from './cellquilt/subworkflows/masks/main'
include { INGEST   } from './cellquilt/modules/ingest/main'
include { MODEL    } from './cellquilt/modules/model/main'
include { QUANTIFY } from './cellquilt/modules/quantify/main'
include { REPAIR   } from './cellquilt/modules/repair/main'

workflow {
    // Masks of slides, with Mesmer and pixel classifiers; meta has keys besides Cellquilt's
    def slide = file(params.slide, checkIfExists: true)
    def sample = [nuclear: 'DAPI', membrane: 'CD45;PanCK', compartment: 'both', patient: 7]
    ch_slides = channel.of(
        [sample + [id: 'by_mesmer'], slide],
        [sample + [id: 'by_networks', segmenter: 'pixelcnn'], slide],
        [sample + [id: 'nuclei', segmenter: 'pixelcnn', membrane: '', compartment: 'nuclear'], slide],
    )
    MODEL([])
    SEGMENT_SLIDES(ch_slides, [mesmer: MODEL.out.model, pixelcnn: files(params.networks)])
    QUANTIFY(
        ch_slides
            .join(SEGMENT_SLIDES.out.facts)
            .join(SEGMENT_SLIDES.out.provenance)
            .join(SEGMENT_SLIDES.out.uncertified)
            .join(SEGMENT_SLIDES.out.matches)
            .join(SEGMENT_SLIDES.out.masks)
            .map { inputs -> inputs + [[patient: 7]] }
    )

    // Match masks of another tool; INGEST gives the metadata of their slide
    ch_own = channel.of([[id: 'own', nuclear: 'DAPI', segmenter: 'cellpose'], slide])
    INGEST(ch_own)
    REPAIR(INGEST.out.facts.map { meta, facts -> [meta, facts, files(params.own_masks), []] })

    channel.topic('versions')
        .map { process, tool, version -> "${process.tokenize(':').last()}: ${tool}: ${version}" }
        .unique()
        .collectFile(name: 'versions.txt', storeDir: params.results, newLine: true, sort: true)
}
