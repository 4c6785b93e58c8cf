// What the records of published files make of runs that follow each other: many stories in one run.
// A run is given as what it publishes, by sample, and how it ends: complete, failed or killed.

include { addPublished ; closeRecords ; openRecords } from '../../workflows/published'

def runOf(run, folder) {
    def outdir = folder.resolve('results')
    run.user.each { name, text -> write(outdir.resolve(name), text) }
    run.links.each { name, target -> outdir.resolve(target).mklink(outdir.resolve(name)) }
    def rows = run.slides.collect { sample, image -> [sample: sample, image: [folder.resolve(image)], bytes: folder.resolve(image).size()] }
    try {
        def records = openRecords([mode: run.mode ?: 'segment', segmenter: ['mesmer'], outdir: outdir.toString(), overwrite: run.overwrite ?: false, rows: rows])
        run.publishes.each { sample, names ->
            names.each { name -> published(records, sample, name, run.text) }
        }
        if (run.end != 'killed') {
            closeRecords(records, run.end == 'complete' ? run.refused ?: [] : null)
        }
        return treeOf(outdir, '')
    }
    catch (Exception failure) {
        return treeOf(outdir, '') + [refused: org.codehaus.groovy.runtime.StackTraceUtils.extractRootCause(failure).message]
    }
}

// A name with a star is on disk only, since the run was killed before its list had it; one with an exclamation mark is
// in the list only
def published(records, sample, name, text) {
    def record = records[sample]
    def plain = name - '*' - '!'
    if (!name.startsWith('!')) {
        write(record.folder.resolve(plain.endsWith('.zarr') ? "${plain}/part" : plain), text)
    }
    if (!name.endsWith('*')) {
        addPublished(records, [id: sample], [[file("/tasks/ab/${'0' * 30}/${record.prefix}${plain}")]])
    }
}

def write(path, text) {
    path.parent.mkdirs()
    path.text = text
}

def treeOf(folder, prefix) {
    return folder.listFiles().toList().collectEntries { path ->
        path.isDirectory() && !path.isLink() ? [("${prefix}${path.name}/".toString()): ''] + treeOf(path, "${prefix}${path.name}/") : [("${prefix}${path.name}".toString()): path.isDirectory() ? 'link' : path.text]
    }
}

workflow {
    def stories = new groovy.json.JsonSlurper().parseText(file(params.stories).text)
    def results = stories.collectEntries { name, runs -> [name, runs.collect { run -> runOf(run, file("${launchDir}/${name}")) }] }
    file(params.results).text = groovy.json.JsonOutput.toJson(results)
}
