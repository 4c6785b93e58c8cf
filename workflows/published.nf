// Which run the published files are of. A record, files.json, lists them: one in each sample's folder, and
// one of the run as a whole. Once a run has all files, those of the record that it did not write are removed.
// What is in no record is never touched: nobody but the user may know what it is.

include { childrenOf } from './files'
include { refuse } from './schema'
include { namesOf } from './slides'

// The records of a run by sample, and by '' that of the run as a whole. All are on disk before the first task,
// so that a run that is killed is seen by the next one.
def openRecords(options) {
    if (workflow.preview || options.mode == 'check') { // which publishes a list only, and is no run of the slides
        return [:]
    }
    def records = placesOf(options).collectEntries { name, place -> [name, place + [before: readRecord(place.file)]] }
    refuse(options.overwrite ? [] : records.values().findAll { record -> isOfAnotherSlide(record) }.collect { record -> slideProblem(record) })
    return records.collectEntries { name, record -> [name, opened(record)] }
}

// Add what a task has published to the records of its samples, or to that of the run. A step of a sample
// publishes nothing in the other modes
def addPublished(records, metas, files) {
    def names = [files].flatten().findAll { part -> part instanceof Path }.collect { path -> nameOf(path) }
    def of_samples = names.groupBy { name -> name.tokenize('/').first() }
    [metas].flatten().collectMany { meta -> [meta] + (meta.results ?: []) }.findAll { meta -> records[meta.id] }.each { meta ->
        def record = records[meta.id]
        def own = record.prefix ? of_samples[meta.id] ?: [] : names
        record.written.addAll(own.collect { name -> name.substring(record.prefix.size()) })
    }
}

// At the end of the run, with the samples that it refused, or null if it did not come to its end
def closeRecords(records, refused) {
    records.each { name, record ->
        if (refused == null || name in refused && !record.written || !isWhole(record)) {
            interrupted(record)
        }
        else {
            name in refused ? completed(record, 'refused', null) : completed(record, 'complete', record.image)
        }
    }
}

// A configuration may publish elsewhere, or not at all
def isWhole(record) {
    return !(record.written - filesOf(record, record.written))
}

// Of each record: its file, the folder of what it lists, the names that this can have, and a sample's image
def placesOf(options) {
    def outdir = file(options.outdir, glob: false)
    def names = new groovy.json.JsonSlurper().parseText(file("${projectDir}/assets/published.json").text)
    if (options.mode != 'segment') {
        def folder = outdir.resolve(options.mode == 'train' ? 'training' : 'benchmark')
        return ['': [file: folder.resolve('files.json'), folder: folder, prefix: '', names: names[options.mode]]]
    }
    def images = options.demo ? [demo: [name: 'the generated tissue']] : options.rows.collectEntries { row -> [row.sample, [name: row.image.first().name, bytes: row.bytes]] }
    def all = images.collectMany { sample, image -> [sample, namesOf(sample, options)].flatten().unique().collect { name -> [name, image] } }
    def samples = all.collectEntries { sample, image ->
        def folder = outdir.resolve(sample)
        def own = names.sample.collect { name -> name.replace('<sample>', sample) }
        [sample, [file: folder.resolve('files.json'), folder: folder, prefix: "${sample}/", names: own, sample: sample, image: image]]
    }
    return samples + ['': [file: outdir.resolve('pipeline_info/files.json'), folder: outdir, prefix: '', names: names.segment]]
}

// The bytes of a large folder are not known
def isOfAnotherSlide(record) {
    def sizes = [record.before?.image, record.image].findResults { image -> image?.bytes }
    return record.before?.image && (record.before.image.name != record.image.name || sizes.size() == 2 && sizes[0] != sizes[1])
}

def slideProblem(record) {
    def images = [record.before.image, record.image].collect { image -> image.bytes == null ? image.name : "${image.name} (${image.bytes} bytes)" }
    return "${record.folder.toUriString()} has the results of another slide: ${images[0]}, and sample ${record.sample} is ${images[1]}. Give another --outdir, name the sample differently, or replace them with --overwrite."
}

// A record on disk, or null. What it lists may be removed, so it must be below its folder
def readRecord(path) {
    if (!path.exists()) {
        return null
    }
    try {
        def record = new groovy.json.JsonSlurper().parseText(path.text)
        if (record instanceof Map && record.files instanceof List && record.files.every { name -> isBelow(name) }) {
            return record
        }
    }
    catch (Exception _failure) {
        // said below
    }
    refuse(["${path.toUriString()}: is no list of published files; move it away, then what is beside it stays as it is."])
}

def isBelow(name) {
    return name instanceof String && name && !name.startsWith('/') && !('..' in name.tokenize('/'))
}

// Until the run is over, the files of the earlier one are kept, and with them the slide that they show.
// Files that have a name of the pipeline's but are in no list are foreign
def opened(record) {
    def files = earlierFiles(record)
    def foreign = filesOf(record, []) - files
    def image = isOfAnotherSlide(record) ? null : record.before?.image
    writeRecord(record.file, 'running', image, files, foreign)
    return record + [files: files, foreign: foreign, earlier_image: image, written: [].asSynchronized()]
}

// Of a run that did not finish, what it published is in no list
def earlierFiles(record) {
    def before = record.before
    return !before ? [] : before.state in ['complete', 'refused'] ? before.files : filesOf(record, before.files) - (before.foreign ?: [])
}

// The image is that of complete results, which are not to be replaced by another's
def completed(record, state, image) {
    def written = record.written.toSet()
    (record.files - written).each { name -> remove(record.folder, name) }
    writeRecord(record.file, state, image, written, [])
}

// The earlier run's files stay, since they may be all that there is
def interrupted(record) {
    def found = filesOf(record, record.files) - record.foreign
    if (record.written || found.toSet() != record.files.toSet()) {
        writeRecord(record.file, 'incomplete', record.earlier_image, found, record.foreign)
    }
    else if (record.before) {
        writeJson(record.file, record.before)
    }
    else {
        record.file.delete()
        removeEmpty(record.file.parent)
    }
}

def writeRecord(path, state, image, files, foreign) {
    def content = [run: workflow.runName, session: workflow.sessionId.toString(), state: state, image: image, files: files.sort(false)]
    writeJson(path, foreign ? content + [foreign: foreign.sort(false)] : content)
}

// Whole, or not at all
def writeJson(path, content) {
    def partial = path.resolveSibling("${path.name}.partial")
    path.parent.mkdirs()
    partial.text = groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(content)) + '\n'
    partial.moveTo(path)
}

// The path of an output in its task's folder
def nameOf(path) {
    return entryName(path.toString().replaceFirst('^.*/[0-9a-f]{2}/[0-9a-f]{30}/', ''))
}

// A Zarr store, or the viewer, is one entry, whatever is in it
def entryName(name) {
    return isStore(name) ? "${name}/".toString() : name
}

def isStore(name) {
    return name.endsWith('.zarr') || name.tokenize('/').last() == 'viewer'
}

// What is on disk of the names of a record, and of those listed
def filesOf(record, listed) {
    def children = childrenOf(record.folder)
    if (!children) {
        return []
    }
    def known = listed.toSet()
    def known_heads = headsOf(known)
    def heads = matchersOf(headsOf(record.names))
    def wanted = matchersOf(record.names)
    return children
        .findAll { child -> plainName(child) in known_heads || matches(plainName(child), heads) }
        .collectMany { child -> entriesOf(child, plainName(child)) }
        .findAll { name -> name in known || matches(name, wanted) }
}

def headsOf(names) {
    return names.collect { name -> name.tokenize('/').head() }.toSet()
}

// Links are not followed: they may lead back, or to what is the user's
def entriesOf(path, name) {
    def is_folder = path.isDirectory() && !path.isLink() && !isStore(name)
    return is_folder ? childrenOf(path).collectMany { child -> entriesOf(child, "${name}/${plainName(child)}".toString()) } : [entryName(name)]
}

// Buckets have a slash behind the names of folders
def plainName(path) {
    return path.name - ~'/$'
}

def matchersOf(globs) {
    return globs.collect { glob -> java.nio.file.FileSystems.getDefault().getPathMatcher("glob:${glob}") }
}

def matches(name, matchers) {
    return matchers.any { matcher -> matcher.matches(java.nio.file.Path.of(name)) }
}

// A published link is removed, not what it points to
def remove(folder, name) {
    def path = folder.resolve(name)
    def is_removed = path.isDirectory() && !path.isLink() ? path.deleteDir() : path.delete()
    if (!is_removed && path.exists()) {
        log.warn("${path.toUriString()} is of an earlier run and cannot be removed; remove it.")
    }
    def parts = name.tokenize('/').init()
    parts.indices.reverse().each { index -> removeEmpty(folder.resolve(parts.take(index + 1).join('/'))) }
}

def removeEmpty(folder) {
    if (folder.isDirectory() && !childrenOf(folder)) {
        folder.delete()
    }
}
