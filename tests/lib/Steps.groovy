/** The real steps before the one under test, on the small tissue of tests/nextflow.config. */
class Steps {
    private static final String META = """[
        id: 'tissue', nuclear: 'DAPI', membrane: 'CD45;PanCK', image_mpp: '', compartment: 'both'
    ]"""

    /** INGEST's facts with the ground truth masks of the tissue, named like STITCH's; no certificates. */
    static final String FACTS_AND_TRUTH = '''INGEST.out.facts.join(
        GENERATE.out.truth.map { meta, masks ->
            [meta, masks.collect { mask ->
                mask.copyTo(workflow.workDir.resolve(mask.name.replace('truth', 'original')))
            }, []]
        }
    )'''

    /** Inputs of QUANTIFY: the slide, INGEST's facts, STITCH's files, and REPAIR's matches and masks. */
    static final String MASKS_OF_REPAIR = '''GENERATE.out.image.join(INGEST.out.facts).join(REPAIR.out.matches).join(REPAIR.out.masks)
        .map { meta, image, facts, matches, masks ->
            def texts = ['provenance.json': '{"steps": []}', 'uncertified.csv': 'compartment,label\\n', 'patches_metadata.csv': 'y0,x0,height,width\\n0,0,9,9\\n']
            def told = texts.collect { name, text ->
                def path = workflow.workDir.resolve(name)
                path.text = text
                path
            }
            def originals = ['cell', 'nucleus'].collect { name -> workflow.workDir.resolve("\${name}_original.ome.tif") }
            [meta, image, facts, *told, matches, originals + masks, [:]]
        }'''

    /** A small network for whole cells, trained on the tissue. */
    static final String EXAMPLES = """INGEST.out.store.join(GENERATE.out.truth).map { meta, store, truth ->
        def network = [id: 'cells', compartment: 'whole-cell', architecture: 'compact', seed: 1, splits: ['train']]
        [network, store, truth.find { mask -> mask.name.startsWith('cell') }, []]
    }"""

    private static final Map<String, String> INPUTS = [
        GENERATE: "input[0] = ${META}",
        MODEL: 'input[0] = []',
        INGEST: 'input[0] = GENERATE.out.image.map { meta, image -> [meta, image, [], []] }',
        PATCH: 'input[0] = INGEST.out.store',
        SEGMENT: 'input[0] = PATCH.out.pixels\ninput[1] = MODEL.out.model',
        TRAIN: "input[0] = ${EXAMPLES}\ninput[1] = []",
        LABEL: 'input[0] = SEGMENT.out.maps',
        REPAIR: "input[0] = ${FACTS_AND_TRUTH}",
    ]

    /** Add steps to a setup block: `Steps.run(delegate, 'GENERATE', 'INGEST')`. */
    static void run(context, String... steps) {
        steps.each { step ->
            context.run(step) {
                script "modules/${step.toLowerCase()}/main.nf"
                process { INPUTS[step] }
            }
        }
    }
}
