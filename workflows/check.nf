// A look before a run: slides in; what is understood of each, what is wrong, and what a run would cost out. Files
// are read where they lie, by one task, and none is fetched or uploaded for it.

include { extrasOf ; slidesOf } from './slides'
include { countsOf ; filesOf } from '../modules/chain/main'
include { GENERATE } from '../modules/generate/main'
include { CHECK    } from '../modules/check/main'
include { NETWORK  } from '../modules/network/main'

workflow CHECKING {
    take:
    options

    main:
    GENERATE(options.demo ? channel.fromList(slidesOf(options)) : channel.empty())
    ch_slides = options.demo ? GENERATE.out.image.map { slide -> lookedAt([slide], options) } : channel.of(lookedAt(slidesOf(readable(options)), options))
    // A network that is none ends the check, as it would end the run
    if ('network' in options.segmenter) {
        NETWORK(file(options.network, glob: false))
    }
    CHECK(ch_slides, options.benchmark_results ? file(options.benchmark_results, checkIfExists: true) : [])

    ch_text = CHECK.out.text.map { path ->
        log.info("${path.text}All of it is in ${options.outdir}/check.csv")
        path
    }
    refusal = CHECK.out.refusal.combine(ch_text).map { path, _text -> "${path.text.trim()}; ${options.outdir}/check.csv has the reasons. Correct them or leave them out." }

    emit:
    refusal = refusal
}

// The options with those rows alone that have no problem
def readable(options) {
    return options + [rows: options.rows.findAll { row -> !row.problems }]
}

// What CHECK takes: slides with their files, and what is known of the others
def lookedAt(slides, options) {
    def extras = extrasOf(readable(options))
    def unseen = options.demo ? [:] : slides.collectEntries { meta, images -> [meta.id, unseenOf(images + extras[meta.id].subMap(['cell_mask', 'nucleus_mask']).values())] }.findAll { _sample, reason -> reason }
    def local = slides.findAll { meta, _images -> !(meta.id in unseen) }
    def files = local.collect { meta, images -> filesOf([meta, images, extras[meta.id]]) }
    def others = [
        bundles: local.collectEntries { meta, _images -> [meta.id, extras[meta.id].bundle] },
        problems: options.rows.findAll { row -> row.problems }.collectEntries { row -> [row.sample ?: row.place, row.problems] },
        unseen: unseen,
    ]
    return [local*.first(), files.collect { each -> countsOf(each) }, others, files*.values().flatten()]
}

// Why a slide is not looked at, or null
def unseenOf(images) {
    def remote = images.find { path -> path.scheme != 'file' }
    if (remote) {
        return "is at ${remote.scheme}://, and a check downloads no slide; check a copy of it on a disk."
    }
    // The files of tasks are in a bucket: that of the run, or of -bucket-dir
    def is_in_cloud = workflow.workDir.scheme != 'file' || Class.forName('nextflow.Global').session.bucketDir != null
    return is_in_cloud ? 'is on a local disk, and would be uploaded to the cloud where tasks run; check it with a profile of this machine, such as -profile local.' : null
}
