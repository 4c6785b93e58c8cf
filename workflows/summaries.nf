// The messages at the end of a run, and the tables of tasks and refused slides for its report.

def recommendationOf(path, outdir) {
    def found = new groovy.json.JsonSlurper().parseText(path.text)
    if (!found.recommended) {
        log.warn('No measurement fits; recommendation.json has the reasons.')
        return "Cellquilt is done; ${outdir}/benchmark has the table"
    }
    def speed = String.format('%.3g Mpx/s, %.1f GB a task', found.recommended.slide_mpx_per_s, found.recommended.peak_memory_gb)
    return "Cellquilt is done: of ${counted(found.n_measurements, 'measurement', 'measurements')} the fastest for ${found.recommended.image} is\n" +
        "  ${found.command}\n  ${speed}, ${found.recommended.tasks} at a time; table and plots in ${outdir}/benchmark"
}

def comparisonOf(paths, outdir) {
    def lines = paths.collect { path ->
        def found = new groovy.json.JsonSlurper().parseText(path.text)
        def models = found.recommended.models.collect { name -> "${outdir}/training/networks/${name}" }
        def best = found.recommended
        def since = best.f1_before == null ? '' : String.format(Locale.ROOT, '\n    F1 of its nuclei on the test is %.3f, and was %.3f before it was trained on these images', best.f1 ?: 0, best.f1_before)
        "  ${found.compartment}: ${outdir}/training/${found.compartment}/report.html shows it; best on validation:\n" +
            "    ${found.options} --models ${models.join(',')}${since}"
    }
    return "Cellquilt is done\n${lines.join('\n')}"
}

// A line for each sample; of many, a line for each that needs attention
def summaryOf(paths, outdir) {
    def summaries = paths.collect { path -> new groovy.json.JsonSlurper().parseText(path.text) }
    warningsOf(summaries).each { warning -> log.warn(warning) }
    if (!summaries) {
        return "No slide was segmented; ${outdir}/report.html has the reasons"
    }
    if (summaries.size() <= 50) {
        return (["Cellquilt is done; ${outdir}/report.html shows it"] + summaries.collect { summary -> lineOf(summary, outdir) }).join('\n')
    }
    def total = ['n_cells': 'cells', 'n_nuclei': 'nuclei', 'n_matched': 'matched'].collect { key, what -> "${summaries.sum { summary -> summary[key] ?: 0L }} ${what}" }
    def flagged = summaries.findAll { summary -> isEmpty(summary) || flagsOf(summary) }.collect { summary -> lineOf(summary, outdir) }
    def lines = ["Cellquilt is done: ${summaries.size()} samples, ${total.join(', ')}; ${outdir}/report.html shows them, ${outdir}/samples.csv lists them"]
    return (lines + firstOf(flagged, "${outdir}/samples.csv")).join('\n')
}

def lineOf(summary, outdir) {
    def counts = [
        summary.n_cells == null ? null : counted(summary.n_cells, 'cell', 'cells'),
        summary.n_nuclei == null ? null : counted(summary.n_nuclei, 'nucleus', 'nuclei'),
        summary.n_matched == null ? null : "${summary.n_matched} matched",
    ]
    return "  ${summary.sample}: ${(counts + flagsOf(summary)).findAll { count -> count }.join(', ')}; masks in ${outdir}/${summary.sample}/${summary.segmentation}"
}

def flagsOf(summary) {
    return [
        summary.n_uncertified_cells ? "${counted(summary.n_uncertified_cells, 'cell', 'cells')} not tiling verified" : null,
        summary.n_uncertified_nuclei ? "${counted(summary.n_uncertified_nuclei, 'nucleus', 'nuclei')} not tiling verified" : null,
        summary.n_unproved_patches ? "${counted(summary.n_unproved_patches, 'patch', 'patches')} skipped without proof" : null,
    ].findAll { flag -> flag }
}

def counted(n, singular, plural) {
    return "${n} ${n == 1 ? singular : plural}"
}

def isEmpty(summary) {
    return ![summary.n_cells, summary.n_nuclei].any { count -> count }
}

// What was noticed of each sample. A kind of notice that many samples have is one warning
def warningsOf(summaries) {
    def found = summaries.collectMany { summary ->
        def empty = isEmpty(summary) ? [[code: 'no_cells', text: 'no cells were found; its masks are empty.']] : []
        (empty + (summary.notices ?: [])).collect { notice -> [code: notice.code, sample: summary.sample, text: "${summary.sample}: ${notice.text}"] }
    }
    def kinds = found.groupBy { notice -> notice.code }.values()
    return kinds.collectMany { notices ->
        def samples = notices*.sample.toUnique()
        samples.size() <= 5 ? notices*.text : ["${samples.size()} samples (${samples.take(3).join(', ')} ...) have notices of one kind, for example ${notices.first().text}"]
    }
}

// The first lines of a long list, and how many more a file has
def firstOf(lines, path) {
    return lines.size() <= 50 ? lines : lines.take(50) + ["  and ${lines.size() - 50} more, in ${path}"]
}

// What a task says of slides that it refuses, as [sample, process, reason]. One of several slides has a
// file for each, in a folder named after the step
def reasonsOf(meta, process, reasons) {
    return meta instanceof List ? [reasons].flatten().collect { path -> [path.baseName, path.parent.name, path] } : [[meta.id, process, reasons]]
}

// Why slides were not segmented, from [sample, process, reason]; where one has just no end, from its name and that of
// the slide that it is a result of
def refusalsOf(found) {
    def refused = found
        .findAll { _sample, process, _reason -> process }
        .collect { sample, process, reason -> [sample: sample, step: process.tokenize(':').last(), message: reason.text.trim()] }
    def unexplained = found.findAll { sample, process, slide -> !process && !(sample in refused*.sample) && !(slide in refused*.sample) }
    def lost = unexplained*.first().toUnique().collect { sample ->
        [sample: sample, step: '', message: 'was not finished, since a task of it failed; .nextflow.log has the reason.']
    }
    return (refused + lost).toSet().sort { refusal -> "${refusal.sample} ${refusal.step} ${refusal.message}" }
}

def refusedText(refusals, outdir) {
    def lines = refusals.collect { refusal -> "  ${[refusal.sample, refusal.step].findAll { name -> name }.join(', ')}: ${refusal.message}" }
    def n_slides = refusals*.sample.toSet().size()
    return "${n_slides == 1 ? 'One slide was' : "${n_slides} slides were"} refused; all else is done, in ${outdir}.\n${firstOf(lines, "${outdir}/samples.csv").join('\n')}\n" +
        'Correct them or leave them out, and run again with -resume: what is done is not done again.'
}

def refusalsFileOf(refusals) {
    return refusals ? stored('refusals.json', groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(refusals)) + '\n') : []
}

// When and how the run was started, which only its report says
def runFileOf(formats) {
    def run = [
        started: workflow.start.toString(),
        command: workflow.commandLine,
        name: workflow.runName,
        nextflow: nextflow.version.toString(),
        formats: formats == 'none' ? [] : formats.tokenize(',')*.trim(),
    ]
    return stored('run.json', groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(run)) + '\n')
}

def usageFileOf(lines) {
    return lines ? stored('usage.tsv', (['step\tsample\trealtime_ms\tcpu_percent\tpeak_rss_kb'] + lines).join('\n') + '\n') : []
}

// A file to pass to a task, which stays as it is while its text does, for -resume. It is written once
// all is known: an operator that writes while tasks run is interrupted when one of them fails
def stored(name, text) {
    def path = workflow.workDir.resolve("collected/${text.md5()}/${name}")
    if (!path.exists() || path.text != text) {
        path.parent.mkdirs()
        path.text = text
    }
    return path
}

// A line of usage.tsv, from what Nextflow traced of a task: of a sample, given by name, or of those of metas
def usageOf(process, of, trace) {
    def sample = of instanceof String || of instanceof GString ? of : [of].flatten()*.id.join(';')
    def traced = trace.readLines().findAll { line -> line.contains('=') }.collectEntries { line -> line.tokenize('=') }
    return [process.tokenize(':').last(), sample, traced.realtime ?: '', traced.'%cpu' ? traced.'%cpu'.toInteger() / 10 : '', traced.peak_rss ?: ''].join('\t')
}

// The versions of each process's software, from [process, tool, 'name version, name version ...'].
// MultiQC shows them of a file whose name ends in _mqc_versions.yml
def versionsOf(found) {
    def processes = found.groupBy { process, _tool, _versions -> process.tokenize(':').last() }.sort()
    return processes.collect { process, rows ->
        def software = rows.collectMany { _process, _tool, versions -> versions.tokenize(',')*.tokenize(' ') }.unique()
        def lines = software.groupBy { words -> words.first() }.collect { name, each -> "  ${name}: '${each*.last().join(', ')}'\n" }
        "${process}:\n${lines.join('')}"
    }.join('')
}
