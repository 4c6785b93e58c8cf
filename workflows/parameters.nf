// Parameters and samplesheet: checked against nextflow_schema.json before anything is started.
// Values from the command line arrive as strings on Nextflow 26, so types are settled here, once.

def checkParameters(given, schemaFile) {
    def schema = new groovy.json.JsonSlurper().parseText(schemaFile.text)
    def known = schema['$defs'].values().collectMany { group -> group.properties.entrySet() }.collectEntries { entry -> [entry.key, entry.value] }
    if (given.help?.toString() == 'true') {
        log.info(helpOf(schema))
        System.exit(0)
    }
    // Nextflow adds a camelCase twin for every name with a dash
    def unknown = given.keySet().findAll { name -> !known.containsKey(name) && !name.matches('.*[A-Z].*') }
    def problems = unknown.collect { name -> "--${name}: unknown parameter.${nearestOf(name, known.keySet())} All of them: nextflow run . --help" }
    problems += known.collect { name, property -> problemOf(name, textOf(given[name]), property) }.findAll { problem -> problem }
    refuse(problems)

    def options = known.collectEntries { name, property -> [name, typed(textOf(given[name]), property.type)] }
    def inputs = [options.input, options.image, options.demo ?: null].findAll { value -> value != null }
    if (inputs.size() > 1 || (!inputs && options.mode != 'benchmark')) {
        refuse(["Give one of --input samplesheet.csv, --image slide.ome.tif (with --nuclear), or -profile demo; ${inputs ? 'more than one is' : 'none is'} given."])
    }
    if (options.image && options.nuclear == null) {
        refuse(["--image ${options.image} needs --nuclear, the nuclear channel's name or 0-based index."])
    }
    if (options.mode == 'train') {
        refuse(trainingProblems(options))
    }
    else {
        refuse(options.labels ? ["--labels ${options.labels} is for --mode train; add that, or leave it out."] : [])
        refuse(segmenterProblems(options))
    }
    return options
}

// Mesmer is not ours to use without its licence; a network trained here is free of it
def segmenterProblems(options) {
    if (options.segmenter == 'pixelcnn') {
        def problems = options.mode == 'benchmark' ? ['--mode benchmark measures Mesmer; leave out --segmenter pixelcnn.'] : []
        if (options.precision != 'float32' || options.xla) {
            problems << '--precision and --xla are for --segmenter mesmer; leave them out.'
        }
        return problems
    }
    log.info("Mesmer's weights and deepcell are licensed for non-commercial academic use only (modified Apache licence, Van Valen Lab, Caltech). Cellquilt's own code is MIT.")
    if (options.models) {
        return ["--models ${options.models} is for --segmenter pixelcnn; add that, or leave it out."]
    }
    return options.accept_mesmer_license ? [] : ["Mesmer's licence must be accepted before its weights are fetched or used: read it (see README.md, Licence) and add --accept_mesmer_license. Without it, --segmenter pixelcnn is free for any use."]
}

def trainingProblems(options) {
    def problems = []
    if (options.input && options.labels) {
        problems << "--labels ${options.labels}: of the slides of --input, the labels are a column of the samplesheet; leave it out."
    }
    if (options.image && !options.labels) {
        problems << "--mode train --image ${options.image} needs --labels, the label image of its cells."
    }
    if (!options.demo && options.compartment == 'both') {
        problems << '--mode train needs --compartment whole-cell or --compartment nuclear: what the labels are of.'
    }
    def known = architecturesOf(file("${projectDir}/bin/cellquilt/pixelcnn/architectures.yaml"))
    def own = options.architecture_file ? file(options.architecture_file, glob: false) : null
    if (own && !own.isFile()) {
        return problems + "--architecture_file ${options.architecture_file} is no file; check the path."
    }
    known += own ? architecturesOf(own) : []
    def unknown = namesOf(options.architectures) - known
    if (unknown) {
        problems << "--architectures ${unknown.join(',')}: there is no such architecture; there are ${known.join(', ')}. Others can be given in a file, see --architecture_file."
    }
    return problems
}

// The names alone: TRAIN checks what is in the file
def architecturesOf(path) {
    def names = path.readLines().findAll { line -> line ==~ /["']?[A-Za-z0-9][A-Za-z0-9_-]*["']?\s*:.*/ }
    return names.collect { line -> line.tokenize(':')[0].replaceAll(/["'\s]/, '') }
}

def namesOf(list) {
    return list.tokenize(',')*.trim().unique()
}

def numbersOf(list) {
    return list.tokenize(',')*.toInteger().unique()
}

def refuse(problems) {
    if (problems) {
        error(problems.join('\n'))
    }
}

def textOf(value) {
    return value == null ? '' : value.toString()
}

def problemOf(name, text, property) {
    if (text == '') {
        return null
    }
    def expected = expectedOf(text, property)
    return expected ? "--${name} ${text}: must be ${expected}. ${property.description}." : null
}

// What a value should have been, or null where it is that
def expectedOf(text, property) {
    if (property.type == 'boolean') {
        return text in ['true', 'false'] ? null : 'true or false'
    }
    if (property.type == 'integer' && !text.isInteger()) {
        return 'a whole number'
    }
    if (property.type == 'number' && !text.isBigDecimal()) {
        return 'a number'
    }
    if (property.minimum != null && (text as BigDecimal) < property.minimum) {
        return "at least ${property.minimum}"
    }
    if (property.maximum != null && (text as BigDecimal) > property.maximum) {
        return "at most ${property.maximum}"
    }
    if (property['enum'] && !(text in property['enum'])) {
        return "one of ${property['enum'].join(', ')}"
    }
    return property.pattern && !(text ==~ property.pattern) ? "of the form ${property.pattern.replaceAll(/(?<!\[)\^|\$/, '')}" : null
}

def typed(text, type) {
    if (text == '') {
        return null
    }
    if (type == 'boolean') {
        return text == 'true'
    }
    return type == 'integer' ? text as Integer : type == 'number' ? text as BigDecimal : text
}

def nearestOf(name, known) {
    def start = plainName(name).take(5)
    def near = known.findAll { other -> plainName(other).startsWith(start) || start == plainName(other) }
    return near ? " Did you mean --${near.sort().join(', --')}?" : ''
}

def plainName(name) {
    return name.replaceAll('[-_]', '').toLowerCase()
}

def helpOf(schema) {
    def groups = schema['$defs'].values().collect { group ->
        def lines = group.properties.collect { name, property ->
            def fallback = property.default == null ? '' : " [${property.default}]"
            "  --${name.padRight(36)} ${property.description}${fallback}"
        }
        "${group.title}\n${lines.join('\n')}"
    }
    return "nextflow run . --image slide.ome.tif --nuclear DAPI --membrane 'CD45;PanCK' --accept_mesmer_license -profile local\n\n${groups.join('\n\n')}\n"
}

// The slides of a run as [meta, image], or as meta for the generated one
def slidesOf(options) {
    if (options.demo) {
        return [metaOf([sample: 'demo', nuclear: 'DAPI', membrane: 'CD45;PanCK'], options)]
    }
    def columns = ['sample', 'image', 'nuclear', 'membrane', 'image_mpp']
    return rowsOf(options, columns).collect { row -> [metaOf(row, options), row.path] }
}

// The slides to learn from as [meta, image, labels]; meta.split tells what each is for
def examplesOf(options) {
    def columns = ['sample', 'image', 'labels', 'split', 'nuclear', 'membrane', 'image_mpp']
    def rows = rowsOf(options, columns)
    def splits = rows.collect { row -> row.split ?: 'train' }
    if (!('train' in splits)) {
        refuse(["${options.input}: no row has split 'train'; there is nothing to learn from."])
    }
    if (!('test' in splits) && options.held_out == 0) {
        refuse(["--held_out ${options.held_out}: nothing is left for the test; raise it, or give a row split 'test'."])
    }
    return rows.collect { row ->
        [metaOf(row, options) + [split: row.split ?: 'train'], row.path, row.labels_path]
    }
}

// The generated tissue to learn from, as meta
def generatedExamples(options) {
    return slidesOf(options).collect { meta -> meta + [split: 'train'] }
}

// The rows of --input, or --image as the only one, checked; row.path is the image's
def rowsOf(options, columns) {
    def rows
    def folder = null
    if (options.image) {
        def name = file(options.image).name.replaceAll(/(?i)\.(ome\.)?(tiff?|btf|tf8|qptiff)$/, '').replaceAll(/[^A-Za-z0-9._-]/, '_')
        rows = [options.subMap(['image', 'labels', 'nuclear', 'membrane']) + [sample: options.sample ?: name]]
        refuse(rowProblems(rows[0], null, options, '--image'))
    }
    else {
        rows = sheetOf(options, columns)
        folder = file(options.input).parent
    }
    return rows.collect { row ->
        row + [path: fileOf(row.image, folder), labels_path: row.labels ? fileOf(row.labels, folder) : null]
    }
}

def sheetOf(options, columns) {
    def sheet = file(options.input)
    if (!sheet.exists()) {
        refuse(["--input ${options.input} does not exist; check the path."])
    }
    // As spreadsheets write them: with a byte order mark, quotes, and blank lines at the end
    def text = new String(sheet.bytes, 'UTF-8').replace('\uFEFF', '')
    if (text.contains('\uFFFD')) {
        refuse(["${sheet.name}: is not text in UTF-8; save it as 'CSV UTF-8'."])
    }
    def lines = text.readLines().findAll { line -> line.trim() }
    def names = lines ? lines[0].tokenize(',').collect { name -> name.replaceAll(/["\s]/, '') } : []
    def twice = names.countBy { name -> name }.findAll { _name, count -> count > 1 }.keySet()
    if (twice) {
        refuse(["${sheet.name}: column ${twice.join(', ')} occurs twice; give each once."])
    }
    def rows = lines.size() > 1 ? sheet.splitCsv(header: true, strip: true, quote: '"') : []
    def header = rows ? rows[0].keySet() : []
    def missing = columns.take(columns.indexOf('nuclear') + 1) - ['split'] - header
    if (missing || header - columns) {
        def what = !rows ? 'no rows' : missing ? "no column ${missing.join(', ')}" : "unknown column ${(header - columns).join(', ')}"
        refuse(["${sheet.name}: ${what}; a samplesheet has the columns ${columns.join(',')} (those after nuclear may be missing), and a row a slide."])
    }
    def counts = rows.countBy { row -> row.sample }
    def problems = counts.findAll { _name, count -> count > 1 }.collect { name, count -> "${sheet.name}: sample ${name} occurs ${count} times; every row needs a name of its own." }
    problems += rows.withIndex().collectMany { row, index -> rowProblems(row, sheet.parent, options, "${sheet.name}, row ${index + 2}") }
    refuse(problems)
    return rows
}

def rowProblems(row, folder, options, where) {
    def problems = []
    if (!(row.sample ==~ /[A-Za-z0-9][A-Za-z0-9._-]*/)) {
        problems << "sample '${row.sample}': a sample name has letters, digits, '.', '_' and '-' only, since folders are named after it."
    }
    if (!row.image || !fileOf(row.image, folder).exists()) {
        problems << (row.image ? "image ${row.image} does not exist; check the path, and that it can be read from here." : 'no image is named.')
    }
    if (!row.nuclear) {
        problems << 'no nuclear channel is named; give its name or 0-based index.'
    }
    if (row.image_mpp && !row.image_mpp.isBigDecimal()) {
        problems << "image_mpp '${row.image_mpp}' is not a number; give the pixel size in um."
    }
    if (options.mode == 'train' && (!row.labels || !fileOf(row.labels, folder).exists())) {
        problems << (row.labels ? "labels ${row.labels} do not exist; check the path." : 'no label image is named.')
    }
    if (row.split && !(row.split in ['train', 'test'])) {
        problems << "split '${row.split}': must be train or test, or empty for train."
    }
    if (!row.membrane && options.compartment == 'whole-cell' && options.mode != 'train' && options.segmenter == 'mesmer') {
        problems << 'no membrane channel is named, without which whole cells cannot be segmented; name one, or use --compartment nuclear.'
    }
    if (!row.membrane && options.compartment == 'both') {
        log.warn("${where}: no membrane channel is named: nuclear segmentation only.")
    }
    if (options.evaluate && (!row.membrane || options.compartment != 'both')) {
        log.warn("${where}: --evaluate needs both compartments: this sample is not scored.")
    }
    return problems.collect { problem -> "${where}: ${problem}" }
}

def metaOf(row, options) {
    return [
        id: row.sample,
        nuclear: row.nuclear,
        membrane: row.membrane ?: '',
        image_mpp: row.image_mpp ?: textOf(options.image_mpp),
        compartment: row.membrane || options.compartment == 'whole-cell' ? options.compartment : 'nuclear',
        segmenter: options.segmenter,
    ]
}

// Relative paths of a samplesheet count from its own folder, or else from where the run started
def fileOf(name, folder) {
    def beside = folder ? folder.resolve(name) : null
    return beside && beside.exists() ? beside : file(name, glob: false)
}

// The networks of --segmenter pixelcnn: the user's, or those that come with the pipeline
def modelsOf(options) {
    def embedded = ['whole-cell', 'nuclear'].collect { name -> "${projectDir}/assets/networks/${name}.keras".toString() }
    def given = options.models ? namesOf(options.models) : embedded
    def counts = given.countBy { name -> file(name, glob: false).name }
    refuse(given.findAll { name -> !file(name, glob: false).exists() }.collect { name -> "--models ${name} does not exist; check the path." })
    refuse(counts.findAll { _name, count -> count > 1 }.collect { name, count -> "--models: ${count} files are called ${name}; give every network a name of its own." })
    return given.collect { name -> file(name, glob: false) }
}

// The networks to train, as [meta, stores, labels]: every architecture and seed, by compartment
def networksOf(options, examples) {
    def compartments = options.compartment == 'both' ? ['whole-cell', 'nuclear'] : [options.compartment]
    return [compartments, namesOf(options.architectures), numbersOf(options.seeds)].combinations().collect { compartment, architecture, seed ->
        def meta = [
            id: "${compartment}-${architecture}-seed${seed}".toString(),
            compartment: compartment,
            architecture: architecture,
            seed: seed,
            splits: examples.collect { example -> example[0].split },
        ]
        [meta, examples.collect { example -> example[1] }, examples.collect { example -> labelsOf(example[2], compartment) }]
    }
}

// A generated tissue has labels of both compartments
def labelsOf(labels, compartment) {
    def wanted = compartment == 'nuclear' ? 'nucleus_truth' : 'cell_truth'
    return labels instanceof List ? labels.find { path -> path.name.startsWith(wanted) } : labels
}

// The slides that the batching study generates, as meta
def generatedOf(options) {
    return numbersOf(options.benchmark_image_sizes).collect { side ->
        metaOf([sample: "generated-${side}".toString(), nuclear: 'DAPI', membrane: 'CD45;PanCK'], options) + [side: side]
    }
}
