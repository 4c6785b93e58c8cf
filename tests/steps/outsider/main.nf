// Another pipeline, with its own names, parameters and configuration. Cellquilt's modules and
// subworkflows are in cellquilt/ (here, so that it can be linted, where this repository has them), and
// its scripts in bin/; see docs/reuse.md.

include { MASKS as SEGMENT_SLIDES } from '../../../subworkflows/masks/main'
include { INGEST   } from '../../../modules/ingest/main'
include { MODEL    } from '../../../modules/model/main'
include { QUANTIFY } from '../../../modules/quantify/main'
include { REPAIR   } from '../../../modules/repair/main'

workflow {
    // Masks of slides, with Mesmer and pixel classifiers, step by step and in a task for small slides; meta has
    // keys besides Cellquilt's
    def slide = file(params.slide, checkIfExists: true)
    def sample = [nuclear: 'DAPI', membrane: 'CD45;PanCK', compartment: 'both', patient: 7]
    ch_slides = channel.of(
        [sample + [id: 'by_mesmer'], slide],
        [sample + [id: 'by_networks', segmenter: 'pixelcnn'], slide],
        [sample + [id: 'shared', segmenter: 'pixelcnn'], slide],
        [sample + [id: 'nuclei', segmenter: 'pixelcnn', membrane: '', compartment: 'nuclear'], slide],
    )
    MODEL([])
    ch_extras = ch_slides.map { meta, image -> meta.id == 'shared' ? [meta, image, [bundle: 'small']] : [meta, image] }
    SEGMENT_SLIDES(ch_extras, [mesmer: MODEL.out.model, pixelcnn: files(params.networks)])
    QUANTIFY(
        ch_slides
            .join(SEGMENT_SLIDES.out.facts)
            .join(SEGMENT_SLIDES.out.provenance)
            .join(SEGMENT_SLIDES.out.uncertified)
            .join(SEGMENT_SLIDES.out.patches)
            .join(SEGMENT_SLIDES.out.matches)
            .join(SEGMENT_SLIDES.out.masks)
            .map { inputs -> inputs + [[patient: 7]] }
    )

    // Match masks of another tool; INGEST gives the metadata of their slide
    ch_own = channel.of([[id: 'own', nuclear: 'DAPI', segmenter: 'cellpose'], slide])
    INGEST(ch_own.map { meta, image -> [meta, image, []] })
    REPAIR(INGEST.out.facts.map { meta, facts -> [meta, facts, files(params.own_masks), []] })

    channel.topic('versions')
        .map { process, tool, version -> "${process.tokenize(':').last()}: ${tool}: ${version}" }
        .unique()
        .toSortedList()
        .subscribe { versions -> file("${params.results}/versions.txt").text = versions.join('\n') + '\n' }
}
