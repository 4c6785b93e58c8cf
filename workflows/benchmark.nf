// The batching study: which patch and batch size segments fastest, and in how much memory, here.
// A slide is passed as [meta, images]; meta.id names it, and meta.patch_size and so on how it is cut and run.

include { generatedOf ; markersOf ; slidesOf } from './slides'
include { recommendationOf } from './summaries'
include { GENERATE  } from '../modules/generate/main'
include { MODEL     } from '../modules/model/main'
include { INGEST    } from '../modules/ingest/main'
include { PATCH     } from '../modules/patch/main'
include { MEASURE   } from '../modules/measure/main'
include { RECOMMEND } from '../modules/recommend/main'

workflow BENCHMARK {
    take:
    options

    main:
    // Slides: the user's, or generated ones of the sizes asked for
    def given = options.image || options.input
    GENERATE(given ? channel.empty() : channel.fromList(generatedOf(options)))
    ch_slides = given ? channel.fromList(slidesOf(options)) : GENERATE.out.image
    markers = markersOf(options)
    INGEST(ch_slides.map { meta, images -> [meta, images, markers[meta.id] ?: []] })
    MODEL(options.mesmer_model ? file(options.mesmer_model, checkIfExists: true) : [])

    // Every way to cut a slide
    ch_cuts = channel.fromList([options.benchmark_patch_sizes, options.benchmark_patches_per_task].combinations())
    PATCH(
        INGEST.out.store.combine(ch_cuts).map { meta, store, patch_size, patches_per_task ->
            [meta + [patch_size: patch_size, patches_per_task: patches_per_task], store]
        }
    )

    // Every way to run it, once all slides are cut, since what runs beside a measurement disturbs it
    ch_runs = channel.fromList([options.benchmark_batch_sizes, options.benchmark_tasks].combinations())
    ch_settings = PATCH.out.pixels
        .toList()
        .flatMap { slides -> slides }
        .combine(ch_runs)
        .filter { _meta, pixels, _batch_size, tasks -> tasks <= (pixels instanceof List ? pixels.size() : 1) }
        .map { meta, pixels, batch_size, tasks -> [meta + [batch_size: batch_size, tasks: tasks], pixels] }
    MEASURE(ch_settings, MODEL.out.model)

    RECOMMEND(MEASURE.out.row.map { _meta, row -> row }.collect(sort: { row -> row.name }))
    RECOMMEND.out.recommendation.subscribe { path -> log.info(recommendationOf(path, options.outdir)) }
}
