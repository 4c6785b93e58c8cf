// The slides of a run, each with its meta: the user's, or tissues that are generated.

// The slides to segment as [meta, images], or as meta for the demo's, which is generated
def slidesOf(options) {
    return options.demo ? [generatedSlide('demo', options)] : options.rows.collect { row -> [metaOf(row, options), row.image] }
}

// What else the user says of each slide, as [meta, columns]: beside meta, so that it changes no other step
def columnsOf(options) {
    def slides = options.demo ? [[generatedSlide('demo', options), [:]]] : options.rows.collect { row -> [metaOf(row, options), row.columns] }
    return slides.collectMany { meta, columns -> (meta.results ?: [meta]).collect { result -> [result, columns] } }
}

// The file with the names of a slide's channels, by sample, where there is one
def markersOf(options) {
    return options.rows.collectEntries { row -> [row.sample, row.markers] }.findAll { _sample, path -> path != null }
}

// The names of a slide's results: its own, or with several segmenters one for each
def namesOf(sample, options) {
    return options.segmenter.size() == 1 ? [sample] : options.segmenter.collect { segmenter -> "${sample}-${segmenter}".toString() }
}

// Of each slide, by sample, what its tasks need besides: the names of its channels, its regions of interest, masks
// of the user's own, of a small one the bundle that it is in, and the user's columns
def extrasOf(options) {
    if (options.demo) {
        return [demo: [bundle: options.bundle_slides ? 'demo' : null]]
    }
    def bundles = options.bundle_slides ? bundlesOf(options.rows, options) : [:]
    return options.rows.collectEntries { row -> [row.sample, [markers: row.markers, roi: row.roi, bundle: bundles[row.sample], columns: row.columns] + row.subMap('masks' in options.segmenter ? ownMasksOf(row, options) : [])] }
}

// The bundle of each small slide, by sample. Which slides share one follows from their names alone, so that
// a row more or less leaves the other bundles as they are: where one is too large, it is halved by the next
// bit of the names' digests
def bundlesOf(rows, options) {
    def small = rows.findAll { row -> row.bytes != null && row.bytes <= options.bundle_max_mb * 1_000_000L }
    return halved(small.collect { row -> [name: row.sample, bytes: row.bytes, bits: bitsOf(row.sample)] }, '', options)
}

def bitsOf(name) {
    return new BigInteger(name.md5(), 16).toString(2).padLeft(128, '0')
}

// Eight of the largest slides may share a task
def halved(slides, start, options) {
    def is_whole = slides.size() <= options.bundle_slides && (slides*.bytes.sum() ?: 0) <= 8 * options.bundle_max_mb * 1_000_000L
    if (is_whole || start.size() == 128) {
        return slides.collectEntries { slide -> [slide.name, "bundle-${start}".toString()] }
    }
    return ['0', '1'].collectEntries { bit -> halved(slides.findAll { slide -> slide.bits[start.size()] == bit }, start + bit, options) }
}

// The slides to learn from as [meta, images, labels]; meta.split tells what each is for
def examplesOf(options) {
    return options.rows.collect { row -> [metaOf(row, options) + [split: row.split], row.image, row.labels] }
}

// The generated tissue to learn from, as meta
def generatedExamples(options) {
    return [generatedSlide('demo', options) + [split: 'train']]
}

// The slides that the batching study generates, as meta
def generatedOf(options) {
    return options.benchmark_image_sizes.collect { side -> generatedSlide("generated-${side}".toString(), options) + [side: side] }
}

// A row of the parameters, but for what is known of the tissue
def generatedSlide(name, options) {
    return metaOf(options + [sample: name, nuclear: 'DAPI', membrane: 'CD45;PanCK'], options)
}

// The columns of a row whose masks are taken in place of a segmenter's
def ownMasksOf(row, options) {
    def wanted = [cell_mask: 'nuclear', nucleus_mask: 'whole-cell'].findAll { _column, other -> options.compartment != other }.keySet()
    return wanted.findAll { column -> row[column] }.toList()
}

// What there is of a slide in the end, by a segmenter: both compartments, or one
def compartmentOf(row, segmenter, options) {
    if (segmenter == 'masks' && options.mode in ['segment', 'check']) {
        def masks = ownMasksOf(row, options)
        return masks.size() == 2 || options.expand_um ? 'both' : masks == ['cell_mask'] ? 'whole-cell' : 'nuclear'
    }
    if (segmenter == 'nuclei' && !options.expand_um && options.mode in ['segment', 'check']) {
        return 'nuclear'
    }
    return row.membrane || options.compartment == 'whole-cell' || options.expand_um ? options.compartment : 'nuclear'
}

// Of a slide with several segmenters, results have the meta of each
def metaOf(row, options) {
    def slide = [
        id: row.sample,
        nuclear: row.nuclear,
        membrane: row.membrane ?: '',
        image_mpp: row.image_mpp,
    ] + row.subMap(['z', 't', 'scene']).findAll { _key, value -> value != null }
    def results = options.segmenter.collect { segmenter ->
        slide + [compartment: compartmentOf(row, segmenter, options), segmenter: segmenter] + (segmenter == 'network' ? options.tiles ?: [:] : [:]) + (options.expand_um ? [segmented: 'nuclear'] : [:])
    }
    if (results.size() == 1) {
        return results[0] + (options.segmenter == ['masks'] ? [table_only: true] : [:])
    }
    return slide + [results: [results, namesOf(row.sample, options)].transpose().collect { result, name -> result + [id: name, slide: row.sample] }]
}
