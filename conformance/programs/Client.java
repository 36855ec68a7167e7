import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.zip.GZIPInputStream;

/**
 * `java Client HTTP_2|HTTP_1_1`: a question per line of input, an answer per line of output, until the input ends. The
 * parts of a line stand between tabs, in Base64. HTTP_2 is the client's default: it offers the upgrade to h2c.
 */
public final class Client {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    public static void main(String[] arguments) throws Exception {
        HttpClient.Version version = HttpClient.Version.valueOf(arguments[0]);
        HttpClient plain = HttpClient.newBuilder().version(version).build();
        HttpClient following = HttpClient.newBuilder().version(version)
                .followRedirects(HttpClient.Redirect.NORMAL).build();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] parts = line.split("\t", -1);
            try {
                System.out.println(answered((text(parts[5]).isEmpty() ? plain : following).send(
                        asked(parts), BodyHandlers.ofByteArray())));
            } catch (Exception failed) {
                System.out.println("error\t" + base64(failed.toString().getBytes(StandardCharsets.UTF_8)));
            }
            System.out.flush();
        }
        System.exit(0);
    }

    private static HttpRequest asked(String[] parts) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(text(parts[1]))).timeout(LIMIT);
        for (String field : text(parts[2]).split("\n")) {
            int colon = field.indexOf(": ");
            if (field.startsWith("Expect")) {
                request.expectContinue(true);
            } else if (colon > 0) {
                request.header(field.substring(0, colon), field.substring(colon + 2));
            }
        }
        return request.method(text(parts[0]), body(text(parts[3]), bytes(parts[4]))).build();
    }

    private static BodyPublisher body(String form, byte[] content) {
        switch (form) {
            case "none":
                return BodyPublishers.noBody();
            case "pieces":
                return BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(content));
            default:
                return BodyPublishers.ofByteArray(content);
        }
    }

    private static String answered(HttpResponse<byte[]> response) throws Exception {
        StringBuilder fields = new StringBuilder();
        response.headers().map().forEach((name, values) ->
                values.forEach(value -> fields.append(name).append(": ").append(value).append('\n')));
        byte[] body = response.body();
        if (response.headers().firstValue("content-encoding").orElse("").equals("gzip")) {
            body = new GZIPInputStream(new ByteArrayInputStream(body)).readAllBytes();
        }
        return String.join("\t", "answer", base64(Integer.toString(response.statusCode()).getBytes()),
                base64(fields.toString().getBytes(StandardCharsets.ISO_8859_1)), base64(body));
    }

    private static byte[] bytes(String part) {
        return Base64.getDecoder().decode(part);
    }

    private static String text(String part) {
        return new String(bytes(part), StandardCharsets.UTF_8);
    }

    private static String base64(byte[] value) {
        return Base64.getEncoder().encodeToString(value);
    }
}
