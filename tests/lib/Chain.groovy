/** The steps of a sample from the slide to its drawings, each on the output of the previous one. */
class Chain {
    static final String COUNTS = '''REPAIR.out.metrics.join(STITCH.out.summary)
        .map { meta, metrics, stitched -> [meta, [metrics, stitched]] }'''

    static final String MASKS = '''STITCH.out.masks.join(REPAIR.out.masks)
        .map { meta, originals, matched -> [meta, originals + matched] }'''

    private static final Map<String, String> INPUTS = [
        STITCH: 'INGEST.out.facts.join(PATCH.out.table).join(LABEL.out.labels)',
        REPAIR: 'INGEST.out.facts.join(STITCH.out.masks).join(STITCH.out.uncertified)',
        QUANTIFY: "GENERATE.out.image.join(INGEST.out.facts).join(STITCH.out.provenance).join(STITCH.out.uncertified).join(STITCH.out.patches).join(REPAIR.out.matches).join(${MASKS}).map { inputs -> inputs + [[:]] }",
        DRAW: "INGEST.out.store.join(QUANTIFY.out.table).join(STITCH.out.patches).join(STITCH.out.provenance).join(${COUNTS}).join(${MASKS}).join(GENERATE.out.truth)",
    ]

    /** Inputs of a step. */
    static String inputOf(String step) {
        return "input[0] = ${INPUTS[step]}"
    }

    /** Add the steps to a setup block, up to a step: `Chain.run(delegate, 'QUANTIFY')`. */
    static void run(context, String last) {
        Steps.run(context, 'GENERATE', 'MODEL', 'INGEST', 'PATCH', 'SEGMENT', 'LABEL')
        INPUTS.keySet().takeWhile { step -> step != last }.plus(last).each { step ->
            context.run(step) {
                script "modules/${step.toLowerCase()}/main.nf"
                process { Chain.inputOf(step) }
            }
        }
    }
}
