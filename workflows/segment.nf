// Slides in; matched cell and nucleus masks, their measurements and a report out.
// A slide is passed as [meta, images]; meta.id names the sample, meta.compartment what is segmented.

include { modelsOf } from './networks'
include { columnsOf ; extrasOf ; slidesOf } from './slides'
include { reasonsOf ; refusalsFileOf ; refusalsOf ; runFileOf ; summaryOf ; usageFileOf ; usageOf } from './summaries'
include { GENERATE } from '../modules/generate/main'
include { MODEL    } from '../modules/model/main'
include { NETWORK  } from '../modules/network/main'
include { MASKS    } from '../subworkflows/masks/main'
include { QUANTIFY } from '../modules/quantify/main'
include { EXPORT   } from '../modules/export/main'
include { CONTRAST } from '../modules/contrast/main'
include { resultsOf } from '../modules/chain/main'
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

    // Normalise, segment, stitch and match: by Mesmer, free networks or one of the user's
    networks = [:]
    if ('mesmer' in options.segmenter) {
        MODEL(options.mesmer_model ? file(options.mesmer_model, checkIfExists: true) : [])
        networks += [mesmer: MODEL.out.model]
    }
    if ('pixelcnn' in options.segmenter) {
        networks += [pixelcnn: modelsOf('pixelcnn', options)]
    }
    if ('network' in options.segmenter) {
        NETWORK(file(options.network, glob: false))
        networks += [network: NETWORK.out.network]
    }
    if ('nuclei' in options.segmenter) {
        networks += [nuclei: modelsOf('nuclei', options)]
    }
    extras = extrasOf(options)
    ch_extras = options.demo
        ? ch_slides.join(GENERATE.out.truth).map { meta, image, truth -> [meta, image, extras[meta.id] + [truth: truth]] }
        : ch_slides.map { meta, images -> [meta, images, extras[meta.id]] }
    MASKS(ch_extras, networks)
    // A slide, or of each of several segmenters its result
    ch_results = ch_slides.flatMap { meta, images -> resultsOf(meta).collect { result -> [result, images] } }

    // Measure every cell over all channels, for the formats that other tools open. Slides that share a
    // task are measured and drawn there, and exported together
    QUANTIFY(
        ch_results
            .join(MASKS.out.store)
            .map { meta, image, _store -> [meta, image] }
            .join(MASKS.out.facts)
            .join(MASKS.out.provenance)
            .join(MASKS.out.uncertified)
            .join(MASKS.out.patches)
            .join(MASKS.out.matches)
            .join(MASKS.out.masks)
            .join(channel.fromList(columnsOf(options)))
    )
    ch_tables = QUANTIFY.out.table.join(MASKS.out.masks)
    is_shown = 'viewer' in options.formats.tokenize(',')
    ch_places = MASKS.out.patches.join(MASKS.out.facts).map { meta, patches, facts -> [meta, is_shown ? [patches, facts] : []] }
    ch_exported = options.export_image || is_shown
        ? ch_tables
            .mix(MASKS.out.tables.flatMap { metas, tables, masks -> eachOf(metas, tables, masks) })
            .join(ch_results)
            .join(ch_places)
        : ch_tables.mix(MASKS.out.tables).map { sample -> sample + [[], []] }
    EXPORT(options.formats == 'none' ? channel.empty() : ch_exported)
    ch_originals = MASKS.out.masks.map { meta, masks -> [meta, masks.findAll { mask -> mask.name.endsWith('_original.ome.tif') }] }
    EVALUATE(
        options.evaluate
            ? ch_results.join(MASKS.out.facts).join(MASKS.out.matches).join(MASKS.out.metrics).join(ch_originals)
            : channel.empty()
    )

    // Draw each sample, and put all of them on a page
    ch_found = MASKS.out.store
        .join(QUANTIFY.out.table)
        .join(MASKS.out.patches)
        .join(MASKS.out.provenance)
        .join(MASKS.out.counts)
        .join(MASKS.out.masks)
    ch_truth = GENERATE.out.truth.flatMap { meta, truth -> resultsOf(meta).collect { result -> [result, truth] } }
    DRAW(options.demo ? ch_found.join(ch_truth) : ch_found.map { sample -> sample + [[]] })
    CONTRAST(
        DRAW.out.report
            .join(MASKS.out.masks)
            .join(MASKS.out.store)
            .filter { meta, _report, _masks, _store -> meta.slide }
            .map { meta, report, masks, store -> [groupKey(meta.slide, options.segmenter.size()), [options.segmenter.indexOf(meta.segmenter), report, masks, store]] }
            .groupTuple(remainder: true, sort: { a, b -> a[0] <=> b[0] })
            .filter { _slide, found -> found.size() > 1 }
            .map { slide, found -> [[id: slide.toString()], found[0][3], found*.getAt(1), found.collect { one -> one[2].size() }, found.collectMany { one -> one[2] }] }
    )
    ch_summaries = DRAW.out.summary.mix(MASKS.out.summaries)

    // The slides that a step refused, or of which a task failed, while the others went on
    ch_unfinished = ch_results
        .join(ch_summaries, remainder: true)
        .filter { _meta, _image, summary -> !summary }
        .map { meta, _image, _summary -> [meta.id, null, meta.slide] }
    ch_refusals = channel.topic('refused')
        .flatMap { meta, process, reasons -> reasonsOf(meta, process, reasons) }
        .mix(ch_unfinished)
        .toList()
        .map { found -> [refusalsOf(found)] }
    REPORT(
        DRAW.out.report
            .mix(MASKS.out.reports)
            .map { _meta, report -> report }
            .toSortedList { a, b -> a.parent.name <=> b.parent.name },
        channel.topic('usage')
            .map { process, sample, trace -> usageOf(process, sample, trace) }
            .toSortedList()
            .map { lines -> usageFileOf(lines) },
        EVALUATE.out.evaluation
            .map { _meta, evaluation -> evaluation }
            .toSortedList { a, b -> a.parent.name <=> b.parent.name },
        ch_refusals.map { refusals -> refusalsFileOf(refusals[0]) },
        ch_refusals.map { _refusals -> runFileOf(options.formats) }, // no other task may depend on the date
        options.benchmark_results ? file(options.benchmark_results, checkIfExists: true) : []
    )

    ch_summaries
        .map { _meta, summary -> summary }
        .toSortedList { a, b -> a.parent.name <=> b.parent.name }
        .map { summaries -> [summaries] }
        .combine(REPORT.out.page)
        .subscribe { summaries, _page -> log.info(summaryOf(summaries, options.outdir)) }
    refusals = ch_refusals.combine(REPORT.out.page).map { refusals, _page -> refusals } // once all else is done

    emit:
    refusals = refusals
}

// The slides of a bundle one by one, each with its table and masks
def eachOf(metas, tables, masks) {
    return metas.collect { meta ->
        [meta, [tables].flatten().find { path -> path.name == "${meta.id}.parquet" }, [masks].flatten().find { path -> path.parent.parent.name == meta.id }]
    }
}
