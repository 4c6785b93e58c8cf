// What is said at the end of a run of many samples.

include { refusedText ; summaryOf } from '../../workflows/summaries'
include { refuse } from '../../workflows/schema'

def refusalOf(problems) {
    try {
        refuse(problems)
    }
    catch (Exception failure) {
        return org.codehaus.groovy.runtime.StackTraceUtils.extractRootCause(failure).message
    }
}

workflow {
    def runs = new groovy.json.JsonSlurper().parseText(file(params.runs).text)
    def results = runs.collectEntries { name, run ->
        def paths = run.summaries.collect { summary ->
            def path = file("${launchDir}/${name}/${summary.sample}.json")
            path.parent.mkdirs()
            path.text = groovy.json.JsonOutput.toJson(summary)
            path
        }
        [name, [summary: summaryOf(paths, 'results'), refused: refusedText(run.refusals, 'results'), problems: refusalOf(run.problems)]]
    }
    file(params.results).text = groovy.json.JsonOutput.toJson(results)
}
