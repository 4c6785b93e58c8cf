// Small slides in, which share tasks; of each what its steps would have given, and the slides that are left to them.

include { CHAIN ; countsOf ; filesOf ; resultsOf } from '../../modules/chain/main'

workflow BUNDLES {
    take:
    ch_slides // [meta, images, extras]: those of one extras.bundle share a task
    networks // as of MASKS

    main:
    // All networks at once, by segmenter
    ch_networks = channel.of([:])
    networks.each { segmenter, files ->
        def is_plain = files instanceof List || files instanceof Path
        def ch_files = is_plain ? channel.of([[files].flatten()]) : files.map { path -> [[path].flatten()] }
        ch_networks = ch_networks.combine(ch_files).map { found, paths -> found + [(segmenter): paths] }
    }
    ch_bundles = ch_slides
        .map { slide -> [resultsOf(slide[0]).collect { result -> result.segmenter ?: 'mesmer' }.join(','), slide[2].bundle, slide] }
        .groupTuple(by: [0, 1], sort: { a, b -> a.first().id <=> b.first().id })
        .combine(ch_networks)
        .map { segmenters, _bundle, slides, found -> [slides*.first(), slides, found.subMap(segmenters.tokenize(','))] }
    CHAIN(
        ch_bundles.map { metas, slides, found ->
            def files = slides.collect { slide -> filesOf(slide) }
            def names = found.collectMany { segmenter, paths -> paths.collect { _path -> segmenter } }
            [metas, slides.collect { slide -> slide[2].columns ?: [:] }, files.collect { each -> countsOf(each) }, files*.values().flatten(), names, found.values().flatten()]
        }
    )

    // Those of a task that failed, or that found them too large
    left = ch_bundles
        .join(CHAIN.out.left, remainder: true)
        .flatMap { metas, slides, _networks, list ->
            def names = list ? list.readLines() : metas*.id
            slides.findAll { slide -> slide[0].id in names }
        }

    ch_samples = CHAIN.out.files.map { metas, files -> [bySample(metas, files)] }
    ch_files = ch_samples.flatMap { samples -> samples[0] }
    ch_matched = ch_files.filter { meta, files -> meta.compartment != 'both' || named(files, 'repair_metrics.json') }
    masks = ch_matched.map { meta, files -> [meta, named(files, '*.ome.tif')] }
    matches = ch_matched.map { meta, files -> [meta, named(files, 'matches.csv')] }
    counts = ch_matched.map { meta, files -> [meta, named(files, 'stitch.json') + named(files, 'repair_metrics.json')] }
    facts = ch_files.map { meta, files -> [meta, named(files, 'sample.json')] }.transpose()
    patches = ch_files.map { meta, files -> [meta, named(files, 'patches_metadata.csv')] }.transpose()
    uncertified = ch_files
        .filter { _meta, files -> named(files, 'stitch.json') }
        .map { meta, files -> [meta, named(files, 'uncertified.csv') + named(files, 'regions.csv')] }
    provenance = ch_files.map { meta, files -> [meta, named(files, 'provenance.json')] }.transpose()
    metrics = ch_files.map { meta, files -> [meta, named(files, 'repair_metrics.json')] }.transpose()
    summaries = ch_files.map { meta, files -> [meta, named(files, 'summary.json')] }.transpose()
    reports = CHAIN.out.reports.flatMap { metas, files -> bySample(metas, files) }.transpose()
    tables = ch_samples
        .map { samples -> samples[0].findAll { _meta, own -> named(own, '*.parquet') } }
        .filter { samples -> samples }
        .map { samples ->
            def files = samples.collectMany { _meta, own -> own }
            [samples*.first(), named(files, '*.parquet'), named(files, '*.ome.tif')*.parent.unique()]
        }

    emit:
    left = left
    masks = masks
    matches = matches
    counts = counts
    facts = facts
    patches = patches
    uncertified = uncertified
    provenance = provenance
    metrics = metrics
    summaries = summaries
    reports = reports
    tables = tables
}

// The files of each result that has any, of those of a task; with the facts of its slide, which may lie apart
def bySample(metas, files) {
    def found = [files].flatten().groupBy { path -> sampleOf(path) }
    return metas.collectMany { meta -> resultsOf(meta) }.findAll { meta -> meta.id in found }.collect { meta ->
        def shared = (found[meta.slide] ?: []).findAll { path -> path.name == 'sample.json' }
        [meta, (found[meta.id] + shared).sort { path -> path.toString() }]
    }
}

// A task has a folder for each sample, and such a one in the folder of what only REPORT reads
def sampleOf(path) {
    return path.toString().replaceFirst('^.*/[0-9a-f]{2}/[0-9a-f]{30}/(_reports/)?', '').tokenize('/').first()
}

// Those of a name, or of an ending behind a star
def named(files, pattern) {
    return files.findAll { path -> pattern.startsWith('*') ? path.name.endsWith(pattern.substring(1)) : path.name == pattern }
}
