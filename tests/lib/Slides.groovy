/** Slides for the cases of the whole pipeline, generated in the environment of -profile local. */
class Slides {
    /** Write a small tissue, or with '--empty' bare glass, to tissue.ome.tif. */
    static void generate(String folder, String... options) {
        def cache = System.getenv('CELLQUILT_CACHE') ?: System.getenv('HOME') + '/.cache/cellquilt'
        def command = [cache + '/envs/runtime/bin/python', 'bin/generate.py', '--outdir', folder]
        def size = ['--height', '330', '--width', '700']
        def generator = new ProcessBuilder(command + size + options.toList())
            .redirectErrorStream(true).start()
        def said = generator.text
        assert generator.waitFor() == 0 : said
    }
}
