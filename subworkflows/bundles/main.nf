// Small slides in, which share tasks; of each what its steps would have given, and the slides that are left to them.

include { CHAIN } from '../../modules/chain/main'

workflow BUNDLES {
    take:
    ch_slides // [meta, files, shared]: the image, and where it is known its truth; those of one shared.bundle share a task
    networks // as of MASKS

    main:
    ch_networks = channel.empty()
    networks.each { segmenter, files ->
        def is_plain = files instanceof List || files instanceof Path
        ch_networks = ch_networks.mix(is_plain ? channel.of([segmenter, files]) : files.map { path -> [segmenter, path] })
    }
    ch_bundles = ch_slides
        .map { meta, files, shared -> [meta.segmenter ?: 'mesmer', shared.bundle, [meta, [files].flatten(), shared.columns ?: [:]]] }
        .groupTuple(by: [0, 1], sort: { a, b -> a.first().id <=> b.first().id })
        .combine(ch_networks, by: 0)
        .map { _segmenter, _bundle, slides, found -> slides.transpose() + [found] }
    CHAIN(ch_bundles.map { metas, files, columns, found -> [metas, columns, files*.size(), files.flatten(), found] })

    // Those of a task that failed, or that found them too large
    left = ch_bundles
        .join(CHAIN.out.left, remainder: true)
        .flatMap { metas, files, _columns, _networks, list ->
            def names = list ? list.readLines() : metas*.id
            [metas, files].transpose().findAll { meta, _files -> meta.id in names }
        }

    ch_files = CHAIN.out.files.flatMap { metas, files -> bySample(metas, files) }
    ch_matched = ch_files.filter { meta, files -> meta.compartment != 'both' || named(files, 'repair_metrics.json') }
    masks = ch_matched.map { meta, files -> [meta, named(files, '*.ome.tif')] }
    matches = ch_matched.map { meta, files -> [meta, named(files, 'matches.csv')] }
    counts = ch_matched.map { meta, files -> [meta, named(files, 'stitch.json') + named(files, 'repair_metrics.json')] }
    facts = ch_files.map { meta, files -> [meta, named(files, 'sample.json')] }.transpose()
    patches = ch_files.map { meta, files -> [meta, named(files, 'patches_metadata.csv')] }.transpose()
    uncertified = ch_files.map { meta, files -> [meta, named(files, 'uncertified.csv')] }.transpose()
    provenance = ch_files.map { meta, files -> [meta, named(files, 'provenance.json')] }.transpose()
    metrics = ch_files.map { meta, files -> [meta, named(files, 'repair_metrics.json')] }.transpose()
    summaries = ch_files.map { meta, files -> [meta, named(files, 'summary.json')] }.transpose()
    reports = CHAIN.out.reports.flatMap { metas, files -> bySample(metas, files) }.transpose()
    tables = CHAIN.out.files
        .map { metas, files -> bySample(metas, files).findAll { _meta, own -> named(own, '*.parquet') } }
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

def named(files, pattern) {
    def matcher = java.nio.file.FileSystems.getDefault().getPathMatcher("glob:${pattern}")
    return files.findAll { path -> matcher.matches(java.nio.file.Path.of(path.name)) }
}
