// Slides in, matched cell and nucleus masks out.
// A slide travels as [meta, file]; meta.id names the sample, meta.compartment what is segmented.

include { modelsOf ; slidesOf } from './parameters'
include { summaryOf } from './summaries'
include { GENERATE } from '../modules/generate/main'
include { MODEL    } from '../modules/model/main'
include { INGEST   } from '../modules/ingest/main'
include { PATCH    } from '../modules/patch/main'
include { SEGMENT  } from '../modules/segment/main'
include { CLASSIFY } from '../modules/classify/main'
include { LABEL    } from '../modules/label/main'
include { STITCH   } from '../modules/stitch/main'
include { REPAIR   } from '../modules/repair/main'
include { REPORT   } from '../modules/report/main'

workflow SEGMENTATION {
    take:
    options

    main:
    // Slides: the user's, or a generated tissue with its truth
    GENERATE(options.demo ? channel.fromList(slidesOf(options)) : channel.empty())
    ch_slides = options.demo ? GENERATE.out.image : channel.fromList(slidesOf(options))

    // Normalise the whole slide, then fan out: a task is a block of patches
    INGEST(ch_slides)
    PATCH(INGEST.out.store)
    ch_tasks = PATCH.out.pixels.flatMap { meta, files ->
        def list = files instanceof List ? files : [files]
        list.collect { pixels -> [groupKey(meta, list.size()), pixels] }
    }

    // Mesmer's maps, or the class probabilities of networks trained here
    ch_maps = channel.empty()
    if (options.segmenter == 'mesmer') {
        MODEL(options.mesmer_model ? file(options.mesmer_model, checkIfExists: true) : [])
        SEGMENT(ch_tasks, MODEL.out.model)
        ch_maps = SEGMENT.out.maps
    }
    else {
        CLASSIFY(ch_tasks, modelsOf(options))
        ch_maps = CLASSIFY.out.maps
    }
    LABEL(ch_maps)

    // Fan in; a slide without informative patches comes with no labels
    ch_labels = LABEL.out.labels
        .groupTuple(sort: { a, b -> a.name <=> b.name })
        .map { key, labels -> [key.target, labels] }
    STITCH(
        INGEST.out.facts
            .join(PATCH.out.table)
            .join(ch_labels, remainder: true)
            .map { meta, facts, table, labels -> [meta, facts, table, labels ?: []] }
    )

    // Match cells and nuclei, where there are both
    REPAIR(
        INGEST.out.facts
            .join(STITCH.out.masks)
            .join(STITCH.out.uncertified)
            .filter { meta, _facts, _masks, _uncertified -> meta.compartment == 'both' }
    )
    ch_both = REPAIR.out.metrics.join(STITCH.out.summary).join(STITCH.out.masks).join(REPAIR.out.masks)
        .map { meta, metrics, counts, originals, matched -> [meta, [metrics, counts], originals + matched] }
    ch_single = STITCH.out.summary.join(STITCH.out.masks).filter { meta, _counts, _masks -> meta.compartment != 'both' }

    // Draw and sum up
    ch_masks = INGEST.out.store.join(ch_both.mix(ch_single))
    REPORT(options.demo ? ch_masks.join(GENERATE.out.truth) : ch_masks.map { slide -> slide + [[]] })

    REPORT.out.summary
        .map { _meta, summary -> summary }
        .toSortedList { a, b -> a.parent.name <=> b.parent.name }
        .filter { summaries -> summaries }
        .subscribe { summaries -> log.info(summaryOf(summaries, options.outdir)) }
}
