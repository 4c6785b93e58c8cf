// Slides with labels in, networks and their comparison out.
// A slide is passed as [meta, images]; meta.id names it, and meta.split what it is for.

include { knownArchitectures } from './architectures'
include { networksOf } from './networks'
include { examplesOf ; generatedExamples ; markersOf } from './slides'
include { comparisonOf } from './summaries'
include { GENERATE } from '../modules/generate/main'
include { INGEST   } from '../modules/ingest/main'
include { TRAIN    } from '../modules/train/main'
include { COMPARE  } from '../modules/compare/main'

workflow TRAINING {
    take:
    options

    main:
    // Slides with the labels of each compartment: the user's, or a generated tissue with its truth
    GENERATE(channel.fromList(options.demo ? generatedExamples(options) : []))
    ch_given = channel.fromList(options.demo ? [] : examplesOf(options))
    ch_slides = GENERATE.out.image.join(GENERATE.out.truth).mix(ch_given)

    // The same normalisation that a slide gets before it is segmented
    markers = markersOf(options)
    INGEST(ch_slides.map { meta, images, _labels -> [meta, images, markers[meta.id] ?: [], []] })

    // Fan out: a task is an architecture and a seed, and has all slides
    unets = knownArchitectures(options).unets
    ch_networks = INGEST.out.store
        .join(ch_slides.map { meta, _images, labels -> [meta, labels] })
        .toSortedList { a, b -> a[0].id <=> b[0].id }
        .flatMap { examples -> networksOf(options, examples, unets) }
    TRAIN(ch_networks, options.architecture_file ? file(options.architecture_file, checkIfExists: true) : [])

    // Fan in: the networks of a compartment side by side
    COMPARE(
        TRAIN.out.card
            .join(TRAIN.out.curve)
            .join(TRAIN.out.probabilities)
            .map { meta, card, curve, probabilities -> [[id: meta.compartment], [meta.id, card, curve, probabilities]] }
            .groupTuple(sort: { a, b -> a[0] <=> b[0] })
            .map { meta, networks -> [meta, networks*.getAt(1), networks*.getAt(2), networks*.getAt(3)] }
    )
    COMPARE.out.comparison
        .map { _meta, path -> path }
        .toSortedList { a, b -> a.parent.name <=> b.parent.name }
        .filter { paths -> paths }
        .subscribe { paths -> log.info(comparisonOf(paths, options.outdir)) }
}
