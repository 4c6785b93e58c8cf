// The slides of a run, each with its meta: the user's, or tissues that are generated.

// The slides to segment as [meta, image], or as meta for the demo's, which is generated
def slidesOf(options) {
    return options.demo ? [generatedSlide('demo', options)] : options.rows.collect { row -> [metaOf(row, options), row.image] }
}

// What else the user says of each slide, as [meta, columns]: beside meta, so that it changes no other step
def columnsOf(options) {
    return options.demo ? [[generatedSlide('demo', options), [:]]] : options.rows.collect { row -> [metaOf(row, options), row.columns] }
}

// The slides to learn from as [meta, image, labels]; meta.split tells what each is for
def examplesOf(options) {
    return options.rows.collect { row -> [metaOf(row, options) + [split: row.split], row.image, row.labels] }
}

// The generated tissue to learn from, as meta
def generatedExamples(options) {
    return slidesOf(options).collect { meta -> meta + [split: 'train'] }
}

// The slides that the batching study generates, as meta
def generatedOf(options) {
    return options.benchmark_image_sizes.collect { side -> generatedSlide("generated-${side}".toString(), options) + [side: side] }
}

def generatedSlide(name, options) {
    return metaOf([sample: name, nuclear: 'DAPI', membrane: 'CD45;PanCK'], options)
}

def metaOf(row, options) {
    return [
        id: row.sample,
        nuclear: row.nuclear,
        membrane: row.membrane ?: '',
        image_mpp: row.image_mpp ?: options.image_mpp,
        compartment: row.membrane || options.compartment == 'whole-cell' ? options.compartment : 'nuclear',
        segmenter: options.segmenter,
    ]
}
