// Slides in; whole-slide masks of their cells and nuclei out, matched where both are segmented.
// For this pipeline and for others: it reads no parameters. meta.yml has the keys of meta.

include { BUNDLES } from '../bundles/main'
include { MAPS   } from '../maps/main'
include { INGEST } from '../../modules/ingest/main'
include { PATCH  } from '../../modules/patch/main'
include { LABEL  } from '../../modules/label/main'
include { ADOPT  } from '../../modules/adopt/main'
include { STITCH } from '../../modules/stitch/main'
include { REPAIR } from '../../modules/repair/main'
include { resultsOf } from '../../modules/chain/main'

workflow MASKS {
    take:
    ch_slides // [meta, images], or [meta, images, extras]: those of one extras.bundle share a task
    networks // by segmenter, of those that a meta.segmenter names: [mesmer: SavedModel of MODEL, nuclei: its network, pixelcnn: networks of TRAIN, network: that of NETWORK]

    main:
    // Small slides share tasks that do all steps; some may turn out too large, or a task may fail
    ch_ways = ch_slides
        .map { slide -> [checked(slide[0], networks), slide[1], slide[2] ?: [:]] }
        .branch { _meta, _images, extras ->
            bundled: extras.bundle
            alone: true
        }
    BUNDLES(ch_ways.bundled, networks)

    // Normalise the whole slide, then fan out: a task is a block of patches
    ch_steps = ch_ways.alone.mix(BUNDLES.out.left)
    INGEST(ch_steps.map { meta, images, extras -> [sharedOf(meta), images, extras.markers ?: [], extras.roi ?: []] })
    // It is cut once for all networks whose tiles are the same
    PATCH(
        ch_steps
            .flatMap { meta, _images, _extras -> resultsOf(meta).collect { result -> [sharedOf(meta), cutOf(meta, result)] }.unique() }
            .combine(INGEST.out.store, by: 0)
            .map { _slide, cut, store -> [cut, store] }
    )
    // Of each slide its results: one, or one of each segmenter
    ch_results = ch_steps.flatMap { meta, _images, extras -> resultsOf(meta).collect { result -> [sharedOf(meta), cutOf(meta, result), result, extras] } }
    ch_cuts = ch_results.map { _slide, cut, result, extras -> [cut, result, extras] }
    ch_tasks = ch_cuts
        .filter { _cut, result, _extras -> result.segmenter != 'masks' }
        .combine(PATCH.out.pixels, by: 0)
        .flatMap { _cut, result, _extras, files ->
            def list = files instanceof List ? files : [files]
            list.collect { pixels -> [groupKey(networkOf(result), list.size()), pixels] }
        }
    MAPS(ch_tasks, networks)
    LABEL(MAPS.out.maps)

    // Fan in; a slide without informative patches comes with no labels. One of which a task failed
    // comes with some, and is refused
    ch_labels = LABEL.out.labels
        .mix(MAPS.out.labels)
        .groupTuple(remainder: true, sort: { a, b -> a.name <=> b.name })
        .map { key, labels -> [key.target, labels] }
    ch_cut = ch_results
        .combine(INGEST.out.facts, by: 0)
        .map { _slide, cut, result, extras, facts -> [cut, result, extras, facts] }
        .combine(PATCH.out.table, by: 0)
        .map { _cut, result, extras, facts, table -> [networkOf(result), result, extras, facts, table] }
        .branch { _key, result, _extras, _facts, _table ->
            own: result.segmenter == 'masks'
            segmented: true
        }
    STITCH(
        ch_cut.segmented
            .join(ch_labels, remainder: true)
            .map { _key, result, _extras, facts, table, labels -> [result, facts, table, labels ?: []] }
    )
    ADOPT(ch_cut.own.map { _key, result, extras, facts, table -> [result, facts, table, extras.cell_mask ?: [], extras.nucleus_mask ?: []] })
    ch_facts = ch_cut.segmented.mix(ch_cut.own).map { _key, result, _extras, facts, _table -> [result, facts] }
    ch_found = STITCH.out.masks.mix(ADOPT.out.masks)
    ch_summary = STITCH.out.summary.mix(ADOPT.out.summary)
    // Of masks of one's own nothing is proved
    ch_doubt = STITCH.out.uncertified.mix(ADOPT.out.provenance.map { meta, files -> [meta, [files].flatten().findAll { path -> path.name == 'regions.csv' }] })
    ch_provenance = STITCH.out.provenance.mix(ADOPT.out.provenance.map { meta, files -> [meta, [files].flatten().find { path -> path.name == 'provenance.json' }] })

    // Match cells and nuclei, where there are both
    REPAIR(
        ch_facts
            .join(ch_found)
            .join(ch_doubt)
            .filter { meta, _facts, _masks, _uncertified -> meta.compartment == 'both' }
    )
    // No slide waits for another: those of one compartment have nothing to be joined with
    ch_stitched = ch_found
        .join(ch_summary)
        .branch { meta, _masks, _counts ->
            both: meta.compartment == 'both'
            single: true
        }
    ch_all = ch_stitched.both
        .join(REPAIR.out.masks)
        .join(REPAIR.out.matches)
        .join(REPAIR.out.metrics)
        .mix(ch_stitched.single.map { slide -> slide + [[], [], []] })
    masks = ch_all
        .map { meta, found, _counts, matched, _matches, _metrics -> [meta, [found, matched].flatten()] }
        .mix(BUNDLES.out.masks)
    matches = ch_all.map { meta, _found, _counts, _matched, matches, _metrics -> [meta, matches] }.mix(BUNDLES.out.matches)
    counts = ch_all
        .map { meta, _found, counts, _matched, _matches, metrics -> [meta, [counts, metrics].flatten()] }
        .mix(BUNDLES.out.counts)
    facts = ch_facts.mix(BUNDLES.out.facts)
    patches = STITCH.out.patches.mix(ADOPT.out.patches).mix(BUNDLES.out.patches)
    uncertified = ch_doubt.mix(BUNDLES.out.uncertified)
    provenance = ch_provenance.mix(BUNDLES.out.provenance)
    metrics = REPAIR.out.metrics.mix(BUNDLES.out.metrics)
    // Of slides that share no task, and of the others what CHAIN does with them after the masks
    store = ch_results.combine(INGEST.out.store, by: 0).map { _slide, _cut, result, _extras, store -> [result, store] }
    tables = BUNDLES.out.tables
    summaries = BUNDLES.out.summaries
    reports = BUNDLES.out.reports

    // The only form that both parsers of 25.04 take, and that newer linters do not warn of
    emit:
    masks = masks
    matches = matches
    counts = counts
    facts = facts
    patches = patches
    uncertified = uncertified
    provenance = provenance
    metrics = metrics
    store = store
    tables = tables
    summaries = summaries
    reports = reports
}

// What INGEST depends on, whatever segments a slide: so that another segmenter does not repeat it
def sharedOf(meta) {
    return meta.findAll { key, _value -> !(key in ['compartment', 'segmenter', 'segmented', 'slide', 'results', 'tile', 'stride']) }
}

// What PATCH depends on besides: the tiles of the network, where they are not Mesmer's, and whether there is one
def cutOf(meta, result) {
    def tiles = result.subMap(['tile', 'stride'])
    def alike = resultsOf(meta).findAll { other -> other.subMap(['tile', 'stride']) == tiles }
    return sharedOf(meta) + tiles + (alike.every { other -> other.segmenter == 'masks' } ? [table_only: true] : [:])
}

// What a network's tasks depend on, whether it is the slide's only one or not
def networkOf(result) {
    return result.findAll { key, _value -> key != 'slide' } + [id: result.slide ?: result.id]
}

// Without these the steps fail much later, or take what was not meant
def checked(meta, networks) {
    resultsOf(meta).each { result -> checkedResult(result, networks) }
    return meta
}

def checkedResult(meta, networks) {
    if (!(meta.compartment in ['whole-cell', 'nuclear', 'both'])) {
        error("MASKS, ${meta.id}: meta.compartment is '${meta.compartment}'; give 'whole-cell', 'nuclear' or 'both', and 'nuclear' where meta.membrane is empty.")
    }
    def segmenter = meta.segmenter ?: 'mesmer'
    def given = segmenter == 'masks' ? 'the masks' : networks[segmenter]
    if (given == null || given instanceof List && !given) {
        def there = networks.findAll { _name, files -> files }.keySet().join(', ') ?: 'none'
        error("MASKS, ${meta.id}: meta.segmenter is '${segmenter}', and networks are given for: ${there}; correct it, or give [${segmenter}: ...] beside the slides.")
    }
}
