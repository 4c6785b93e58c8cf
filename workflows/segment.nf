// Slides in; matched cell and nucleus masks, their measurements and a report out.
// A slide travels as [meta, file]; meta.id names the sample, meta.compartment what is segmented.

include { modelsOf ; slidesOf } from './parameters'
include { summaryOf ; usageOf } from './summaries'
include { GENERATE } from '../modules/generate/main'
include { MODEL    } from '../modules/model/main'
include { INGEST   } from '../modules/ingest/main'
include { PATCH    } from '../modules/patch/main'
include { SEGMENT  } from '../modules/segment/main'
include { CLASSIFY } from '../modules/classify/main'
include { LABEL    } from '../modules/label/main'
include { STITCH   } from '../modules/stitch/main'
include { REPAIR   } from '../modules/repair/main'
include { QUANTIFY } from '../modules/quantify/main'
include { EXPORT   } from '../modules/export/main'
include { EVALUATE } from '../modules/evaluate/main'
include { DRAW     } from '../modules/draw/main'
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
    ch_masks = STITCH.out.masks.join(REPAIR.out.masks, remainder: true)
        .map { meta, found, matched -> [meta, [found, matched ?: []].flatten()] }
    ch_counts = STITCH.out.summary.join(REPAIR.out.metrics, remainder: true)
        .map { meta, counts, metrics -> [meta, [counts, metrics].findAll()] }

    // Measure every cell over all channels, for the formats that other tools open
    QUANTIFY(
        ch_slides
            .join(INGEST.out.facts)
            .join(STITCH.out.provenance)
            .join(STITCH.out.uncertified)
            .join(REPAIR.out.matches, remainder: true)
            .join(ch_masks)
            .map { meta, image, facts, steps, uncertified, matches, masks -> [meta, image, facts, steps, uncertified, matches ?: [], masks] }
    )
    EXPORT(options.formats == 'none' ? channel.empty() : QUANTIFY.out.table.join(ch_masks))
    EVALUATE(
        options.evaluate
            ? ch_slides.join(INGEST.out.facts).join(REPAIR.out.matches).join(REPAIR.out.metrics).join(STITCH.out.masks)
            : channel.empty()
    )

    // Draw each sample, and put all of them on a page
    ch_found = INGEST.out.store
        .join(QUANTIFY.out.table)
        .join(STITCH.out.patches)
        .join(STITCH.out.provenance)
        .join(ch_counts)
        .join(ch_masks)
    DRAW(options.demo ? ch_found.join(GENERATE.out.truth) : ch_found.map { sample -> sample + [[]] })
    REPORT(
        DRAW.out.report
            .map { _meta, report -> report }
            .toSortedList { a, b -> a.parent.name <=> b.parent.name }
            .filter { reports -> reports },
        channel.topic('usage')
            .map { process, sample, trace -> usageOf(process, sample, trace) }
            .collectFile(name: 'usage.tsv', seed: 'step\tsample\trealtime_ms\tcpu_percent\tpeak_rss_kb', newLine: true, sort: true)
            .ifEmpty([])
    )

    REPORT.out.page
        .combine(DRAW.out.summary.map { _meta, summary -> summary }.toSortedList { a, b -> a.parent.name <=> b.parent.name })
        .subscribe { page_and_summaries -> log.info(summaryOf(page_and_summaries.tail(), options.outdir)) }
}
