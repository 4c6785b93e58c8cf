// Pages of --help without a process for each.

include { helpOf } from '../../workflows/help'
include { schemaOf } from '../../workflows/schema'

workflow {
    def schema = schemaOf(file(params.schema))
    def pages = params.topics.tokenize(',').collectEntries { topic -> [topic, helpOf(topic, schema)] }
    file(params.pages).text = groovy.json.JsonOutput.toJson(pages)
}
