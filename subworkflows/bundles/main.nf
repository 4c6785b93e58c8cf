// Small slides in, which share tasks; of each what its steps would have given, and the slides that are left to them.

include { CHAIN ; countsOf ; filesOf } from '../../modules/chain/main'

workflow BUNDLES {
    take:
    ch_slides // [meta, images, extras]: those of one extras.bundle share a task
    networks // as of MASKS

    main:
    ch_networks = channel.empty()
    ([masks: []] + networks).each { segmenter, files ->
        def is_plain = files instanceof List || files instanceof Path
        ch_networks = ch_networks.mix(is_plain ? channel.of([segmenter, files]) : files.map { path -> [segmenter, path] })
    }
    ch_bundles = ch_slides
        .map { slide -> [slide[0].segmenter ?: 'mesmer', slide[2].bundle, slide] }
        .groupTuple(by: [0, 1], sort: { a, b -> a.first().id <=> b.first().id })
        .combine(ch_networks, by: 0)
        .map { _segmenter, _bundle, slides, found -> [slides*.first(), slides, found] }
    CHAIN(
        ch_bundles.map { metas, slides, found ->
            def files = slides.collect { slide -> filesOf(slide) }
            [metas, slides.collect { slide -> slide[2].columns ?: [:] }, files.collect { each -> countsOf(each) }, files*.values().flatten(), found]
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

// The files of each slide that has any, of those of a task
def bySample(metas, files) {
    def found = [files].flatten().groupBy { path -> sampleOf(path) }
    return metas.findAll { meta -> meta.id in found }.collect { meta -> [meta, found[meta.id].sort { path -> path.toString() }] }
}

// A task has a folder for each sample, and such a one in the folder of what only REPORT reads
def sampleOf(path) {
    return path.toString().replaceFirst('^.*/[0-9a-f]{2}/[0-9a-f]{30}/(_reports/)?', '').tokenize('/').first()
}

// Those of a name, or of an ending behind a star
def named(files, pattern) {
    return files.findAll { path -> pattern.startsWith('*') ? path.name.endsWith(pattern.substring(1)) : path.name == pattern }
}
