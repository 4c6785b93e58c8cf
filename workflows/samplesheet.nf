// The slides that a user names, as rows: those of --input, or --image as the only one.
// What a samplesheet has, and what each column must be, is in assets/schema_input.json alone.

include { expectedOf ; refuse ; repeatedOf ; schemaOf ; textOf ; typed } from './schema'

// The rows, checked: of each column the value, files as paths
def rowsOf(options) {
    if (!options.image && !options.input) {
        return []
    }
    def rules = rulesOf(options.mode)
    def sheet = options.image ? null : file(options.input, glob: false)
    def rows = sheet ? sheetRows(sheet, rules) : [imageRow(options)]
    def places = rows.indices.collect { index -> sheet ? "${sheet.name}, row ${index + 2}" : '--image' }
    def placed_rows = [places, rows].transpose()
    def repeats = sheet ? repeatProblems(sheet.name, rows, rules) : []
    refuse(repeats + placed_rows.collectMany { place, row -> placed(place, rowProblems(row, rules, sheet, options)) })
    placed_rows.collectMany { place, row -> placed(place, rowWarnings(row, options)) }.each { warning -> log.warn(warning) }
    def values = rows.collect { row -> rules.columns.collectEntries { name, column -> [name, valueOf(textOf(row[name]), column, sheet)] } }
    refuse(options.mode == 'train' ? splitProblems(values*.split, options) : [])
    return values
}

def placed(place, sentences) {
    return sentences.collect { sentence -> "${place}: ${sentence}" }
}

// Of a samplesheet of this mode: its columns in their order, those that it must have, those that tell rows apart
def rulesOf(mode) {
    def schema = schemaOf(file("${projectDir}/assets/schema_input.json"))
    def kind = schema['$defs'].values().find { sheet -> mode in sheet.modes }.items
    return [
        columns: schema.items.properties.findAll { name, _column -> !kind.properties || kind.properties[name] != false },
        required: schema.items.required + (kind.required ?: []),
        unique: schema.uniqueEntries,
    ]
}

def imageRow(options) {
    def name = file(options.image, glob: false).name.replaceAll(/(?i)\.(ome\.)?(tiff?|btf|tf8|qptiff)$/, '').replaceAll(/[^A-Za-z0-9._-]/, '_')
    return options.subMap(['image', 'labels', 'nuclear', 'membrane']) + [sample: options.sample ?: name]
}

// The rows of a samplesheet as they stand in it, once it has the columns of its kind
def sheetRows(sheet, rules) {
    def lines = linesOf(sheet)
    def names = lines ? lines[0].tokenize(',').collect { name -> name.replaceAll(/["\s]/, '') } : []
    def twice = repeatedOf(names).keySet()
    refuse(twice ? ["${sheet.name}: column ${twice.join(', ')} occurs twice; give each once."] : [])
    def rows = lines.size() > 1 ? sheet.splitCsv(header: true, strip: true, quote: '"') : []
    refuse(headerProblems(sheet.name, rows, rules))
    return rows
}

// As spreadsheets write them: with a byte order mark, and blank lines at the end
def linesOf(sheet) {
    refuse(sheet.exists() ? [] : ["--input ${sheet} does not exist; check the path."])
    def text = new String(sheet.bytes, 'UTF-8').replace('\uFEFF', '')
    refuse(text.contains('\uFFFD') ? ["${sheet.name}: is not text in UTF-8; save it as 'CSV UTF-8'."] : [])
    return text.readLines().findAll { line -> line.trim() }
}

def headerProblems(name, rows, rules) {
    def known = rules.columns.keySet()
    def header = rows ? rows[0].keySet() : []
    def missing = known.findAll { column -> column in rules.required && !(column in header) }
    def unknown = header - known
    if (rows && !missing && !unknown) {
        return []
    }
    def what = !rows ? 'no rows' : missing ? "no column ${missing.join(', ')}" : "unknown column ${unknown.join(', ')}"
    return ["${name}: ${what}; a samplesheet has the columns ${known.join(',')} (${(known - rules.required).join(', ')} may be missing), and one row per slide."]
}

def repeatProblems(name, rows, rules) {
    return rules.unique.collectMany { column ->
        repeatedOf(rows*.get(column).findAll { value -> value }).collect { value, count -> "${name}: ${column} ${value} occurs ${count} times; every row needs a unique name." }
    }
}

def rowProblems(row, rules, sheet, options) {
    def problems = rules.columns
        .collect { name, column -> cellProblem(name, textOf(row[name]), column, name in rules.required, sheet) }
        .findAll { problem -> problem }
    if (!row.membrane && options.compartment == 'whole-cell' && options.mode != 'train' && options.segmenter == 'mesmer') {
        problems << 'no membrane channel is named, without which whole cells cannot be segmented; name one, or use --compartment nuclear.'
    }
    return problems
}

def cellProblem(name, text, column, is_required, sheet) {
    if (text == '' && !is_required) {
        return null
    }
    def expected = text == '' ? 'empty' : expectedOf(text, column)
    if (expected && column.errorMessage) {
        return "${name} '${text}': ${column.errorMessage}."
    }
    if (expected) {
        return text == '' ? "no ${column.title} is named. ${column.description}." : "${name} '${text}' is not ${expected}. ${column.description}."
    }
    return column.exists && !fileOf(text, sheet).exists() ? "${name} ${text} does not exist; check the path, and that it can be read from here." : null
}

// Something to learn from, and something for the test
def splitProblems(splits, options) {
    if (!('train' in splits)) {
        return ["${options.input}: no row has split 'train'; there are no training data."]
    }
    return !('test' in splits) && options.held_out == 0 ? ["--held_out ${options.held_out}: nothing is left for the test; raise it, or give a row split 'test'."] : []
}

def rowWarnings(row, options) {
    def warnings = []
    if (!row.membrane && options.compartment == 'both') {
        warnings << 'no membrane channel is named: nuclear segmentation only.'
    }
    if (options.evaluate && (!row.membrane || options.compartment != 'both')) {
        warnings << '--evaluate needs both compartments: this sample is not scored.'
    }
    return warnings
}

def valueOf(text, column, sheet) {
    def given = text ?: textOf(column.default)
    return given && column.format == 'file-path' ? fileOf(given, sheet) : typed(given, column)
}

// Relative paths of a samplesheet count from its own folder, or else from where the run started
def fileOf(name, sheet) {
    def beside = sheet ? sheet.parent.resolve(name) : null
    return beside && beside.exists() ? beside : file(name, glob: false)
}
