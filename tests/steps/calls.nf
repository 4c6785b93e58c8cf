// What the workflows make of parameters: many sets of them in one run, each with the command line that gave it.

include { checkParameters } from '../../workflows/options'
include { examplesOf ; extrasOf ; slidesOf } from '../../workflows/slides'

def resultOf(given) {
    try {
        def options = checkParameters(given.findAll { name, _value -> name != 'commandLine' }, given.commandLine ?: '', file("${projectDir}/nextflow_schema.json"))
        def slides = options.mode == 'train' ? examplesOf(options) : slidesOf(options)
        return [options: plain(options), slides: plain(slides), extras: plain(extrasOf(options))]
    }
    catch (Exception failure) {
        return [refused: org.codehaus.groovy.runtime.StackTraceUtils.extractRootCause(failure).message.readLines()]
    }
}

// JSON has no paths
def plain(value) {
    if (value instanceof Map) {
        return value.collectEntries { key, part -> [key, plain(part)] }
    }
    return value instanceof Collection ? value.collect { part -> plain(part) } : value instanceof Path ? value.toString() : value
}

workflow {
    def sets = new groovy.json.JsonSlurper().parseText(file(params.sets).text)
    def results = sets.collectEntries { name, given -> [name, resultOf(given)] }
    file(params.results).text = groovy.json.JsonOutput.toJson(results)
}
