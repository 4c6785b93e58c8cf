// What the user asked for: parameters, checked against nextflow_schema.json before anything is started.
// Values from the command line arrive as strings on Nextflow 26, so types are settled here, once.

include { knownArchitectures } from './architectures'
include { helpOf } from './help'
include { fileProblem ; pathProblem } from './files'
include { cardOf ; modelsOf ; takerOf ; tilesOf } from './networks'
include { asksForMore ; nucleiAlone ; ofOneSlide ; rowsOf } from './samplesheet'
include { expectedOf ; refuse ; repeatedOf ; schemaOf ; textOf ; typed } from './schema'
include { surplusFiles ; writtenNames } from './sources'
include { compartmentOf } from './slides'
include { nearestOf ; plainName } from './spelling'

// The parameters by name, each of its type, and with them the slides that they name as rows
def checkParameters(given, commandLine, schemaFile) {
    def schema = schemaOf(schemaFile)
    if (!(textOf(given.help) in ['', 'false'])) {
        showHelp(textOf(given.help), schema)
    }
    def known = schema['$defs'].values().collectEntries { group -> group.properties }
    refuse(nameProblems(given, known, commandLine) + valueProblems(given, known))
    def options = known.collectEntries { name, property -> [name, typed(textOf(given[name]), property)] }
    refuse(inputProblems(options, commandLine) + parserProblems(options))
    refuse(options.mode == 'train' ? trainingProblems(options) : segmentationProblems(options))
    warnOfParser(options)
    def found = options + [rows: rowsOf(options)]
    def has_network = options.mode in ['segment', 'check'] && 'network' in options.segmenter
    refuse(has_network ? compartmentProblems(found) : [])
    return has_network ? found + [tiles: tilesOf(options)] : found
}

// The strict parser of a Nextflow that does not have it by default
def isStrictBefore(version) {
    return System.getenv('NXF_SYNTAX_PARSER') == 'v2' && nextflow.version.matches("<${version}".toString())
}

// Before 25.10 it reads configuration files without the parameters of the command line: nextflow-io/nextflow#6377
def parserProblems(options) {
    def unseen = (options.registry ? ['--registry'] : []) + (options.mesmer_source == 'deepcell' ? ['--mesmer_source deepcell'] : [])
    return isStrictBefore('25.10') ? unseen.collect { name -> "${name} has no effect with NXF_SYNTAX_PARSER=v2 and Nextflow ${nextflow.version}; unset NXF_SYNTAX_PARSER, or take Nextflow 25.10 or newer." } : []
}

// Before 26.04 it leaves task.ext, which has the options of a step, out of what -resume compares:
// nextflow-io/nextflow#6695
def warnOfParser(options) {
    if (isStrictBefore('25.10') && (options.outdir != 'results' || options.mode == 'check')) {
        log.warn("NXF_SYNTAX_PARSER=v2: Nextflow ${nextflow.version} writes its own report and trace to results/pipeline_info, whatever --outdir and --mode are. Unset it, or take Nextflow 25.10 or newer.")
    }
    if (workflow.resume && isStrictBefore('26.04')) {
        log.warn("-resume with NXF_SYNTAX_PARSER=v2: Nextflow ${nextflow.version} does not see that thresholds or other options of a step have changed, and takes its earlier results. If any did, leave out -resume.")
    }
}

// Without a profile tasks run with what this machine has on PATH, and their errors say nothing of that. Executors of
// clouds bring containers without an engine being enabled
def warnOfProfile() {
    def own = Class.forName('nextflow.Global').session.config.process ?: [:]
    def is_here = (own.executor ?: System.getenv('NXF_EXECUTOR') ?: 'local') == 'local'
    if (is_here && !workflow.stubRun && !workflow.containerEngine && !['beforeScript', 'conda', 'module', 'spack'].any { name -> own[name] }) {
        log.warn("No -profile says where Cellquilt's programs are, and tasks run with the python3 of this machine. Add -profile local after make setup, or -profile docker after make container.")
    }
}

def showHelp(topic, schema) {
    def help = helpOf(topic, schema)
    refuse(help ? [] : ["--help ${topic}: no parameter has such a name. All of them: nextflow run . --help full"])
    log.info(help)
    System.exit(0)
}

// Names that a person wrote are refused. Those of configuration files may be meant for other pipelines
def nameProblems(given, known, commandLine) {
    def unknown = given.keySet().findAll { name -> !known.containsKey(name) }
    if (!unknown) {
        return []
    }
    def written = writtenNames(commandLine)
    def configured = unknown.findAll { name -> !written.containsKey(name) }
    if (configured) {
        def hints = configured.collect { name -> "${name}${meantBy(name, known).collect { meant -> " (did you mean ${meant}?)" }.join()}" }
        log.warn("Configuration files set parameters that Cellquilt does not have; they are ignored: ${hints.join(', ')}.")
    }
    return (unknown - configured)
        .collectMany { name -> leavesOf(written[name].tokenize('.').first(), given[name]) }
        .unique()
        .collect { name ->
            def meant = meantBy(name.tokenize('.').last(), known).collect { option -> " Did you mean --${option}?" }
            "--${name}: unknown parameter.${meant.join() ?: ' All of them: nextflow run . --help full'}"
        }
}

// The names in a parameter's value where it is a group of others
def leavesOf(name, value) {
    return value instanceof Map && value ? value.collectMany { key, part -> leavesOf("${name}.${key}".toString(), part) } : [name]
}

// What a mistyped name may stand for, as the end of a question, or nothing
def meantBy(name, known) {
    def switched_off = known.keySet().findAll { other -> known[other].type == 'boolean' && plainName(name) == "no${plainName(other)}" }
    def near = switched_off ? switched_off.collect { other -> "${other} false" } : nearestOf(name, known.keySet())
    return near ? [near.take(4).join(', --')] : []
}

def valueProblems(given, known) {
    def texts = known.collectEntries { name, _property -> [name, textOf(given[name])] }.findAll { _name, text -> text }
    def expected = texts
        .collectEntries { name, text -> [name, given[name] instanceof Map || given[name] instanceof Collection ? 'a single value' : unlistedOf(text, known[name].list_from) ?: expectedOf(text, known[name])] }
        .findAll { _name, what -> what }
    return expected.collect { name, what -> "--${name} ${texts[name]}: must be ${what}. ${known[name].description}." }
}

// What a list should have been, or null where all in it are known, or any may be
def unlistedOf(text, names) {
    def unknown = names ? text.tokenize(',')*.trim() - names : []
    if (!unknown) {
        return null
    }
    def meant = nearestOf(unknown.first(), names).take(4).join(', ')
    return "a list of ${names.join(', ')}, and ${unknown.first()} is none of them${meant ? "; did you mean ${meant}?" : ''}"
}

def inputProblems(options, commandLine) {
    def inputs = [options.input, options.image, options.demo ?: null].findAll { value -> value != null }
    if (inputs.size() > 1 || (!inputs && options.mode != 'benchmark')) {
        return ["Give one of --input samplesheet.csv, --image slide.ome.tif (with --nuclear), or -profile demo; ${inputs ? 'more than one is' : 'none is'} given."]
    }
    if (options.image && options.nuclear == null) {
        return ["--image ${options.image} needs --nuclear, the nuclear channel's name or 0-based index."]
    }
    def surplus = options.image ? surplusFiles('--image', commandLine) : []
    if (surplus) {
        return ["--image ${options.image}: ${surplus.take(3).join(', ')}${surplus.size() > 3 ? ' ...' : ''} would not be read; put a pattern in quotes, as --image 'slide1_*.tif'."]
    }
    if (options.roi && (options.demo || !(options.mode in ['segment', 'check']))) {
        return ["--roi ${options.roi} is for your own slides, to segment them; leave it out."]
    }
    def single = options.input ? ofOneSlide(options) : []
    if (single) {
        return single.collect { name -> "--${name} ${options[name]} is for --image: of the slides of --input, it is the column ${name} of the samplesheet; leave it out." }
    }
    def masks = ['cell_mask', 'nucleus_mask'].findAll { name -> options[name] }
    if (masks && (!('masks' in options.segmenter) || !(options.mode in ['segment', 'check']))) {
        return masks.collect { name -> "--${name} ${options[name]}: is for --segmenter masks; add that, or leave it out." }
    }
    def problems = ['markers', 'roi'].findAll { name -> options[name] }.collectEntries { name -> [name, fileProblem(options[name], null)] }
    return problems.findAll { _name, problem -> problem }.collect { name, problem -> "--${name} ${options[name]} ${problem}" }
}

def trainingProblems(options) {
    def problems = []
    if (options.image && !options.labels) {
        problems << "--mode train --image ${options.image} needs --labels, the label image of its cells."
    }
    if (!options.demo && options.compartment == 'both') {
        problems << '--mode train needs --compartment whole-cell or --compartment nuclear: what the labels are of.'
    }
    return problems + architectureProblems(options)
}

def architectureProblems(options) {
    def unread = options.architecture_file ? fileProblem(options.architecture_file, null) : null
    if (unread) {
        return ["--architecture_file ${options.architecture_file} ${unread}"]
    }
    def known = knownArchitectures(options)
    if (known.problem) {
        return ["--architecture_file ${options.architecture_file} ${known.problem}."]
    }
    def unknown = options.architectures - known.names
    if (unknown) {
        return ["--architectures ${unknown.join(',')}: there is no such architecture; there are ${known.names.join(', ')}. Others can be given in a file, see --architecture_file."]
    }
    def unets = options.architectures.findAll { name -> known.unets.containsKey(name) }
    return unets && options.compartment == 'whole-cell' ? ["--architectures ${unets.join(',')}: finds nuclei; give labels of nuclei with --compartment nuclear, or leave it out."] : []
}

def segmentationProblems(options) {
    def measured = options.benchmark_results ? fileProblem(options.benchmark_results, null) : null
    def problems = measured ? ["--benchmark_results ${options.benchmark_results} ${measured}"] : []
    problems += options.labels ? ["--labels ${options.labels} is for --mode train; add that, or leave it out."] : []
    problems += options.models ? modelProblems(options) : []
    problems += networkProblems(options)
    if (options.expand_um && options.compartment != 'both') {
        problems << "--expand_um ${options.expand_um} makes whole cells of nuclei, so that there are both; leave out --compartment ${options.compartment}, or --expand_um."
    }
    if (options.export_image && !options.formats.tokenize(',').any { name -> name in ['ome-zarr', 'spatialdata', 'viewer'] }) {
        problems << "--export_image ${options.export_image} is for formats with images; add ome-zarr, spatialdata or viewer to --formats, or leave it out."
    }
    if (asksForMore(options.demo ? 'PanCK' : null, options)) {
        problems << nucleiAlone()
    }
    problems += flagProblems(options)
    problems += severalProblems(options)
    return problems + ('mesmer' in options.segmenter ? mesmerProblems(options) : otherProblems(options))
}

def networkProblems(options) {
    if (!('network' in options.segmenter)) {
        return options.network ? ["--network ${options.network} is for --segmenter network; add that, or leave it out."] : []
    }
    if (!options.network) {
        return ['--segmenter network needs --network, the folder or .zip of your network and its card; docs/networks.md says how to make one.']
    }
    def problem = pathProblem(options.network, null) ?: cardOf(options.network).problem
    return problem ? ["--network ${options.network} ${problem}"] : []
}

// What is asked of a slide, and the network does not have
def compartmentProblems(options) {
    def card = cardOf(options.network)
    def slides = options.demo ? [[sample: 'demo', membrane: 'PanCK']] : options.rows
    def lacking = slides.collectEntries { row ->
        def wanted = options.expand_um ? 'nuclear' : compartmentOf(row, 'network', options)
        [row.sample, (wanted == 'both' ? ['whole-cell', 'nuclear'] : [wanted]) - card.compartments]
    }.findAll { _sample, names -> names }
    if (!lacking) {
        return []
    }
    def has = card.compartments.join(' and ')
    def remedy = has == 'nuclear' ? 'add --compartment nuclear, or --expand_um, which makes cells of nuclei' : "add --compartment ${has}"
    return ["--network ${options.network}: its card has maps of ${has} only, and ${lacking.keySet().take(3).join(', ')} ${lacking.size() == 1 ? 'is' : 'are'} to be segmented as ${lacking.values().first().join(' and ')}, too; ${remedy}."]
}

// What cannot be the same for several segmenters, or is there in only one of them
def severalProblems(options) {
    if (options.segmenter.size() == 1) {
        return options.segmenter == ['masks'] && options.demo ? ['--segmenter masks takes masks of your own slides, and the demo has none; give --image or --input.'] : []
    }
    def names = options.segmenter.join(',')
    def problems = options.mode == 'benchmark' ? ["--mode benchmark measures Mesmer; leave out --segmenter ${names}."] : []
    if ('masks' in options.segmenter && options.demo) {
        problems << "--segmenter ${names} takes masks of your own slides, and the demo has none; leave out masks."
    }
    def thresholds = options.findAll { name, value -> value != null && name ==~ /(whole_cell|nuclear)_(maxima|interior|small_objects|fill_holes|radius|median).*/ }
    return problems + thresholds.collect { name, value -> "--${name} ${value} is of one segmenter, and --segmenter ${names} has several; run each by itself with its own, or leave it out." }
}

// Limits between which nothing can be
def flagProblems(options) {
    return [['min_cell_um2', 'max_cell_um2', 'cell'], ['min_nucleus_um2', 'max_nucleus_um2', 'nucleus']]
        .findAll { low, high, _what -> options[low] != null && options[high] != null && options[low] > options[high] }
        .collect { low, high, what -> "--${low} ${options[low]} is above --${high} ${options[high]}, so that every ${what} would be flagged; correct one of them." }
}

// Mesmer may not be used without accepting its licence; networks trained here are free of it
def mesmerProblems(options) {
    def problem = options.mesmer_model ? pathProblem(options.mesmer_model, null) : null
    def problems = problem ? ["--mesmer_model ${options.mesmer_model} ${problem}"] : []
    if (options.mode == 'check') {
        return problems // it runs no network
    }
    log.info("Mesmer's weights and deepcell are licensed for non-commercial academic use only (modified Apache licence, Van Valen Lab, Caltech). Cellquilt's own code is MIT.")
    return options.accept_mesmer_license ? problems : problems + ["Mesmer's licence must be accepted before its weights are fetched or used: read it (see README.md, Licence) and add --accept_mesmer_license. Without it, --segmenter nuclei and --segmenter pixelcnn are free for any use."]
}

// What Mesmer alone has
def otherProblems(options) {
    def problems = options.mode == 'benchmark' ? ["--mode benchmark measures Mesmer; leave out --segmenter ${options.segmenter.join(',')}."] : []
    if (options.precision != 'float32' || options.xla) {
        problems << '--precision and --xla are for --segmenter mesmer; leave them out.'
    }
    return problems
}

// What is wrong with --models
def modelProblems(options) {
    def takers = ['pixelcnn', 'nuclei'].findAll { segmenter -> segmenter in options.segmenter }
    if (!takers) {
        return ["--models ${options.models.join(',')} is for --segmenter pixelcnn or nuclei; add that, or leave it out."]
    }
    def problems = options.models.collectEntries { name -> [name, fileProblem(name, null)] }.findAll { _name, problem -> problem }
    if (problems) {
        return problems.collect { name, problem -> "--models ${name} ${problem}" }
    }
    def by_taker = options.models.groupBy { name -> takerOf(name, options) }
    def found = by_taker.findAll { segmenter, _names -> !(segmenter in takers) }.collect { segmenter, names -> "--models ${names.join(',')}: is for --segmenter ${segmenter}, by its card; add that, or leave it out." }
    if ((by_taker.nuclei ?: []).size() > 1) {
        found << "--models ${by_taker.nuclei.join(',')}: --segmenter nuclei runs one network; give one of them."
    }
    def names = takers.collectMany { segmenter -> modelsOf(segmenter, options)*.name }
    return found + repeatedOf(names).collect { name, count -> "--models: ${count} files are called ${name}; give every network a unique name." }
}
